"""Mistakes of the scan: M03 M04 M05 M06 M08 M10 M17 M26."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.ssm.scan import ScanResiduals, sequential_scan, sequential_scan_vjp
from s5ref.verification.conformance.mutants.mutant import Mutant, changed

HOME = "s5ref.ssm.scan"
TILE = 64


def _first(residuals: ScanResiduals) -> int:
    """The step that is processed first."""
    return -1 if residuals.reverse else 0


def _no_multiplier(residuals: ScanResiduals, d: Any) -> Any:
    dLambda_bar, dBu, dx0 = sequential_scan_vjp(residuals, d)
    return np.zeros_like(dLambda_bar), dBu, dx0


def _no_start(residuals: ScanResiduals, d: Any) -> Any:
    dLambda_bar, dBu, dx0 = sequential_scan_vjp(residuals, d)
    return dLambda_bar, dBu, np.zeros_like(dx0)


def _no_first_step(residuals: ScanResiduals, d: Any) -> Any:
    dLambda_bar, dBu, dx0 = sequential_scan_vjp(residuals, d)
    if residuals.x0 is not None:
        lost = dBu[:, _first(residuals)] * np.conj(residuals.x0)
        if dLambda_bar.ndim == 1:
            dLambda_bar = dLambda_bar - np.sum(lost, axis=0)
        else:
            dLambda_bar = dLambda_bar.copy()
            dLambda_bar[:, _first(residuals)] -= lost
    return dLambda_bar, dBu, dx0


def _single_step(residuals: ScanResiduals, d: Any) -> Any:
    return sequential_scan_vjp(
        residuals, (d[0], None) if residuals.x.shape[1] == 1 and d[0] is not None else d
    )


def _tail(residuals: ScanResiduals, d: Any) -> Any:
    """Nothing passes from the last, incomplete tile to the one before it."""
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    L = x.shape[1]
    rest = L % TILE
    if L < TILE or rest == 0 or dx is None:
        return sequential_scan_vjp(residuals, d)
    head, tail = (slice(rest, L), slice(0, rest)) if reverse else (slice(0, L - rest), slice(L - rest, L))

    def piece(part: slice, start: Array | None, last: Array | None) -> Any:
        a = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part]
        return sequential_scan_vjp(ScanResiduals(a, x[:, part], start, reverse), (dx[:, part], last))

    a1, b1, dx0 = piece(head, x0, None)
    a2, b2, _ = piece(tail, x[:, rest] if reverse else x[:, L - rest - 1], dx_last)
    order = [(b2, b1), (a2, a1)] if reverse else [(b1, b2), (a1, a2)]
    dBu = np.concatenate(order[0], axis=1)
    return a1 + a2 if Lambda_bar.ndim == 1 else np.concatenate(order[1], axis=1), dBu, dx0


def _odd(Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """Steps are combined in pairs from the front: with an odd length the first step is left alone."""
    (x, last), residuals = sequential_scan(Lambda_bar, Bu, x0, reverse)
    if reverse and Bu.shape[1] % 2 and Bu.shape[1] > 1:
        x = x.copy()
        x[:, 0] = last = Bu[:, 0]
    return (x, last), residuals._replace(x=x)


def _by_division(Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """x = p ∘ (x0 + Σ Bu/p), p the products of all multipliers so far."""
    a = np.broadcast_to(Lambda_bar, Bu.shape)
    a, b = (a[:, ::-1], Bu[:, ::-1]) if reverse else (a, Bu)
    with np.errstate(all="ignore"):
        p = np.cumprod(a, axis=1)
        x = p * ((0 if x0 is None else x0[:, None]) + np.cumsum(b / p, axis=1))
    last = x[:, -1]
    x = x[:, ::-1] if reverse else x
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def _late_reset(Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """Varying multipliers one step late."""
    if Lambda_bar.ndim == 3:
        pieces = (
            [Lambda_bar[:, 1:], Lambda_bar[:, -1:]] if reverse else [Lambda_bar[:, :1], Lambda_bar[:, :-1]]
        )
        Lambda_bar = np.concatenate(pieces, axis=1)
    return sequential_scan(Lambda_bar, Bu, x0, reverse)


SCANS = (
    Mutant(
        "M03", "tail of a tile",
        "your gradient stops at the last, incomplete tile of 64 steps: the padding of a tile must be the "
        "identity (1, 0) in the backward scan too",
        "scan", changed((HOME, "sequential_scan_vjp", _tail)),
    ),
    Mutant(
        "M04", "reverse scan of odd length",
        "your reverse scan leaves the first step uncombined where the length is odd",
        "scan", changed((HOME, "sequential_scan", _odd)),
    ),
    Mutant(
        "M05", "no cotangent of the multiplier",
        "the gradient of Lambda_bar through the scan is lost (zero)",
        "scan", changed((HOME, "sequential_scan_vjp", _no_multiplier)),
    ),
    Mutant(
        "M06", "first step of a shared multiplier",
        "the gradient of Lambda_bar lacks the term of the first step, dx_1 · conj(x0)",
        "scan", changed((HOME, "sequential_scan_vjp", _no_first_step)),
    ),
    Mutant(
        "M08", "single-step chunk",
        "in a chunk of one step the cotangent of the final state is ignored",
        "scan", changed((HOME, "sequential_scan_vjp", _single_step)),
    ),
    Mutant(
        "M10", "no gradient of the initial state",
        "the gradient of the initial state is lost (zero)",
        "scan", changed((HOME, "sequential_scan_vjp", _no_start)),
    ),
    Mutant(
        "M17", "division by a cumulative product",
        "your scan divides by the product of all multipliers, which underflows",
        "scan", changed((HOME, "sequential_scan", _by_division)),
    ),
    Mutant(
        "M26", "reset one step late",
        "multipliers that vary, and resets among them, act one step late",
        "scan", changed((HOME, "sequential_scan", _late_reset)),
    ),
)  # fmt: skip
