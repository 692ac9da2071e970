"""Mistakes of the scan: M03 M04 M05 M06 M08 M10 M17 M26 M41 M42 M43."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.ssm import resets as episodes
from s5ref.ssm.scan import ScanResiduals
from s5ref.verification.conformance.mutants.mutant import mutant

SCAN, SCAN_VJP = "ssm.scan:sequential_scan", "ssm.scan:sequential_scan_vjp"
TILE = 64


def _tail(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """your gradient stops at the last, incomplete tile of 64 steps: the padding of a tile must be the
    identity (1, 0) in the backward scan too"""
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    L = x.shape[1]
    rest = L % TILE
    if L < TILE or rest == 0 or dx is None:
        return vjp(residuals, d)
    head, tail = (slice(rest, L), slice(0, rest)) if reverse else (slice(0, L - rest), slice(L - rest, L))

    def piece(part: slice, start: Array | None, last: Array | None) -> Any:
        a = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part]
        return vjp(ScanResiduals(a, x[:, part], start, reverse), (dx[:, part], last))

    a1, b1, dx0 = piece(head, x0, None)
    a2, b2, _ = piece(tail, x[:, rest] if reverse else x[:, L - rest - 1], dx_last)
    order = [(b2, b1), (a2, a1)] if reverse else [(b1, b2), (a1, a2)]
    dBu = np.concatenate(order[0], axis=1)
    return a1 + a2 if Lambda_bar.ndim == 1 else np.concatenate(order[1], axis=1), dBu, dx0


def _odd(scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """your reverse scan leaves the first step uncombined where the length is odd

    Steps are combined in pairs from the front.
    """
    (x, last), residuals = scan(Lambda_bar, Bu, x0, reverse)
    if reverse and Bu.shape[1] % 2 and Bu.shape[1] > 1:
        x = x.copy()
        x[:, 0] = last = Bu[:, 0]
    return (x, last), residuals._replace(x=x)


def _no_multiplier(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """the gradient of Lambda_bar through the scan is lost (zero)"""
    dLambda_bar, dBu, dx0 = vjp(residuals, d)
    return np.zeros_like(dLambda_bar), dBu, dx0


def _no_first_step(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """the gradient of Lambda_bar lacks the term of the first step, dx_1 · conj(x0)"""
    dLambda_bar, dBu, dx0 = vjp(residuals, d)
    if residuals.x0 is not None:
        first = -1 if residuals.reverse else 0
        lost = dBu[:, first] * np.conj(residuals.x0)
        if dLambda_bar.ndim == 1:
            dLambda_bar = dLambda_bar - np.sum(lost, axis=0)
        else:
            dLambda_bar = dLambda_bar.copy()
            dLambda_bar[:, first] -= lost
    return dLambda_bar, dBu, dx0


def _single_step(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """in a chunk of one step the cotangent of the final state is ignored"""
    return vjp(residuals, (d[0], None) if residuals.x.shape[1] == 1 and d[0] is not None else d)


def _no_start(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """the gradient of the initial state is lost (zero)"""
    dLambda_bar, dBu, dx0 = vjp(residuals, d)
    return dLambda_bar, dBu, np.zeros_like(dx0)


def _by_division(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """your scan divides by the product of all multipliers, which underflows

    x = p ∘ (x0 + Σ Bu/p), p the products of all multipliers so far.
    """
    a = np.broadcast_to(Lambda_bar, Bu.shape)
    order = slice(None, None, -1 if reverse else 1)
    with np.errstate(all="ignore"):
        p = np.cumprod(a[:, order], axis=1)
        x = p * ((0 if x0 is None else x0[:, None]) + np.cumsum(Bu[:, order] / p, axis=1))
    return (x[:, order], x[:, -1]), ScanResiduals(Lambda_bar, x[:, order], x0, reverse)


def _late_reset(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """multipliers that vary, and resets among them, act one step late"""
    if Lambda_bar.ndim == 3:
        pieces = (
            [Lambda_bar[:, 1:], Lambda_bar[:, -1:]] if reverse else [Lambda_bar[:, :1], Lambda_bar[:, :-1]]
        )
        Lambda_bar = np.concatenate(pieces, axis=1)
    return scan(Lambda_bar, Bu, x0, reverse)


def _early_reset(fold: Any, Lambda_bar: Array, Bu: Array, resets: Array, s: Array | None) -> Any:
    """your resets act one step early, and one at the first step is lost"""
    early = np.concatenate([resets[:, 1:], np.zeros_like(resets[:, :1])], axis=1)
    return fold(Lambda_bar, Bu, early, s)


def _same_step(resets_after: Any, resets: Array | None, valid: Array | None = None) -> Array | None:
    """your backward direction resets at the step of the flag; it must at the step before, where it enters the
    episode that ends there"""
    return resets


def _overflowing(
    scan_episodes: Any, scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None,
    reverse: bool = False, resets: Array | None = None, s: Array | None = None,
) -> Any:  # fmt: skip
    """a state that overflows before a reset is NaN after it: 0 · ∞; select the state, do not multiply it"""
    elements, fold = (Lambda_bar, Bu), None
    if resets is not None:
        elements, fold = episodes.fold_resets(Lambda_bar, Bu, resets, s)
    out, residuals = scan.value(*elements, x0, reverse)
    return out, episodes.EpisodesResiduals(fold, residuals)


SCANS = (
    mutant("M03", "tail of a tile", "scan", (SCAN_VJP, _tail)),
    mutant("M04", "reverse scan of odd length", "scan", (SCAN, _odd)),
    mutant("M05", "no cotangent of the multiplier", "scan", (SCAN_VJP, _no_multiplier)),
    mutant("M06", "first step of a shared multiplier", "scan", (SCAN_VJP, _no_first_step)),
    mutant("M08", "single-step chunk", "scan", (SCAN_VJP, _single_step)),
    mutant("M10", "no gradient of the initial state", "scan", (SCAN_VJP, _no_start)),
    mutant("M17", "division by a cumulative product", "scan", (SCAN, _by_division)),
    mutant("M26", "reset one step late", "scan", (SCAN, _late_reset)),
    mutant("M41", "reset one step early", "scan", ("ssm.resets:fold_resets", _early_reset)),
    mutant("M42", "backward reset at the same step", "ssm", ("ssm.resets:resets_after", _same_step)),
    mutant(
        "M43", "overflow before a reset", "scan", ("ssm.resets:scan_episodes", _overflowing), numeric=False
    ),
)  # fmt: skip
