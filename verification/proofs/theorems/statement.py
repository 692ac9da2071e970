"""What a theorem check is, and the S5 side of all of them: s5ref's own SSM on the sequential engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, to_pairs
from s5ref.engine import Call
from s5ref.engines import SEQUENTIAL
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions, ssm
from s5ref.verification.proofs.independent.matrices import C128, F64
from s5ref.verification.proofs.independent.s4d import RULES
from s5ref.verification.report import Measured as Measured
from s5ref.verification.report import Row, Worst

EPS = float(np.finfo(np.float64).eps)
LIMIT = 1e-12  # of a row in units of its largest value: docs/derivations say why at each statement


@dataclass(frozen=True)
class Statement:
    """One statement of docs/derivations/``page``, found there in bold by ``name``; ``case`` says which row
    of it.

    check(level) measures; every measurement must be ≤ bound, which the page derives from conditioning.
    engine: what is compared with the independent side; "" where the independent side is held against
    itself.
    """

    name: str
    page: str
    case: str
    bound: float
    check: Callable[[str], Measured]
    engine: str = "sequential"

    def row(self, level: str) -> Row:
        """The worst of all measurements. A check that measures nothing fails."""
        worst = Worst.of((float(value), where) for value, where in self.check(level))
        return worst.row("theorems", f"{self.name}: {self.case}", self.engine, "float64", self.bound)


def by_rule(
    name: str,
    page: str,
    check: Callable[[str, str], Measured],
    case: str = "{}",
    bound: float = LIMIT,
    engine: str = "sequential",
) -> list[Statement]:
    """A statement for each rule of discretisation: check(rule, level) measures it, ``case`` names it."""
    return [Statement(name, page, case.format(rule), bound, partial(check, rule), engine) for rule in RULES]


class S5(NamedTuple):
    """An S5 SSM in its eigenbasis: Lambda, Delta (P,), B (P, H), C (H, P) and C_back for two directions, D
    (H,)."""

    Lambda: C128
    Delta: F64
    B: C128
    C: C128
    D: F64
    rule: str = "zoh"
    conj_sym: bool = True
    C_back: C128 | None = None


def scan(s: S5, u: F64, resets: Array | None = None) -> tuple[C128, F64]:
    """(states (L, P), y (L, H)) by s5ref's sequential scan. u (L, H), resets (L,) bool."""
    params: dict[str, Array] = {
        "Lambda_re": s.Lambda.real, "Lambda_im": s.Lambda.imag, "log_step": np.log(s.Delta),
        "B": to_pairs(s.B), "D": s.D,
    }  # fmt: skip
    params |= {"C": to_pairs(s.C)} if s.C_back is None else {"C1": to_pairs(s.C), "C2": to_pairs(s.C_back)}
    options = SSMOptions(s.conj_sym, s.C_back is not None, False, DISCRETIZATIONS[s.rule])
    call = Call(SEQUENTIAL, resets=None if resets is None else resets[None])
    (y, _), residuals = ssm(params, u[None], options, call)
    return residuals.forward.scan.x[0], y[0]


def taken(Delta: F64) -> F64:
    """Δ as the layer sees it, exp(log Δ): rounding the logarithm moves it by |log Δ| eps, which is no error
    of the theorem."""
    return np.asarray(np.exp(np.log(Delta)))


def error(got: Array, want: Array) -> float:
    """max |got − want| / max |want|."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def residual(y: Array, through: Array, want: Array) -> float:
    """max |y − (want + D ∘ u)| / max |want|: D ∘ u, which may be much larger, does not make the error look
    small."""
    return float(np.abs(y - (want + through)).max() / np.abs(want).max())
