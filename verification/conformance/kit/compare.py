"""A candidate's numbers against the reference's: one ratio per output, and where it is worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.verification.conformance.stages import Case, bounds_of, computed
from s5ref.verification.conformance.stages.audit import expected
from s5ref.verification.rounding.budget import THRESHOLD, element_ratios, wider

TF32 = 2.0**-11


@dataclass(frozen=True)
class Judged:
    """The reference's numbers for a case, and how many eps each may be off."""

    want: dict[str, Array]
    bounds: dict[str, Array]
    eps: float


@dataclass(frozen=True)
class Measured:
    """One output of one case. ``ratio`` ≤ 1: of the size of rounding. ``fault``: why there is no ratio."""

    output: str
    ratio: float
    index: tuple[int, ...] = ()
    got: complex = 0.0
    want: complex = 0.0
    fault: str = ""
    heat: Array | None = field(default=None, repr=False)  # element-wise ratios of a tensor that differs

    @property
    def rounding(self) -> bool:
        return not self.fault and self.ratio <= THRESHOLD

    @property
    def cotangent(self) -> bool:
        """Whether it is the cotangent of an input, not an output."""
        return self.output.startswith("d")


def judged(case: Case, eps: float | None = None, keep: bool = True) -> Judged:
    """The reference in the next wider precision where it has one; else in float64 at twice the eps."""
    unit = float(np.finfo(case.dtype).eps) if eps is None else eps
    erf = case.options.get("gelu") == "erf" or case.stage in ("init", "update")
    precision = np.dtype(np.float64) if erf else wider(case.dtype)
    exact = case.stage == "init"  # moments and eigenvalues of the reference
    if not exact and np.finfo(precision).eps >= np.finfo(case.dtype).eps:
        unit *= 2
    return Judged(wanted(case, SEQUENTIAL, precision), _bounds(case) if keep else bounds_of(case), unit)


def wanted(case: Case, engine: Engine, precision: Any = np.float64, exact: bool = True) -> dict[str, Array]:
    """All outputs and cotangents of a case by an engine, computed in ``precision`` at the case's own inputs.

    ``exact``: moments of random draws are what they are on average, not those of one draw.
    """
    numbers = {name: np.asarray(leaf) for name, leaf in computed(case.cast(precision), engine).items()}
    if case.stage == "init" and exact:
        numbers |= {name: np.asarray(mean) for name, (mean, _) in expected(case.options).items()}
    return numbers


_KEPT: dict[str, dict[str, Array]] = {}


def _bounds(case: Case) -> dict[str, Array]:
    if case.numbers not in _KEPT:
        _KEPT[case.numbers] = bounds_of(case)
    return _KEPT[case.numbers]


def measured(got: Mapping[str, Any], judged: Judged, case: Case, names: Iterable[str]) -> list[Measured]:
    """The outputs and cotangents of these names, missing ones included."""
    return [_one(name, got.get(name), judged, case) for name in names]


def _one(name: str, got: Any, judged: Judged, case: Case) -> Measured:
    want = judged.want[name]
    if got is None:
        return Measured(name, inf, fault="missing")
    got = np.asarray(got)
    if got.shape != want.shape:
        return Measured(name, inf, fault=f"shape {got.shape} instead of {want.shape}")
    dtype = np.result_type(case.dtype, np.complex64 if want.dtype.kind == "c" else case.dtype)
    if case.stage != "init" and got.dtype != dtype:
        return Measured(name, inf, fault=f"dtype {got.dtype} instead of {dtype}")
    if np.isnan(got).any() and not np.isnan(want).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(got))[0])
        return Measured(name, inf, index, got[index].item(), complex(want[index]), "NaN")
    with np.errstate(over="ignore"):  # where the bound is 0 a ratio may exceed float64
        ratios = element_ratios(got, want, judged.bounds.get(name, 0.0), judged.eps).astype(np.float64)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratios)), ratios.shape))
    worst = float(ratios[index])
    differs = worst > THRESHOLD
    heat = ratios if differs else None
    return Measured(name, worst, index, got[index].item(), complex(want[index]), "", heat)
