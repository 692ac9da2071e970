"""Mistakes of the scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.ssm import resets as episodes
from s5ref.ssm.scan import ScanResiduals
from s5ref.verification.conformance.mutants.mutant import mutant

SCAN, SCAN_VJP = "ssm.scan:sequential_scan", "ssm.scan:sequential_scan_vjp"
EPISODES, EPISODES_VJP = "ssm.resets:scan_episodes", "ssm.resets:scan_episodes_vjp"
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


def _cut(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """no gradient crosses the boundary of a chunk: the cotangent of the final state is ignored"""
    dx = np.zeros_like(residuals.x) if d[0] is None else d[0]
    return vjp(residuals, (dx, None))


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


def _early_but_last(
    scan_episodes: Any, scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None,
    reverse: bool = False, resets: Array | None = None, s: Array | None = None,
) -> Any:  # fmt: skip
    """your resets act one step early, one at the first step is lost, and only one at the last step is right:
    as if the initial state's flag were inserted before the last flag and not before the first"""
    if resets is not None and resets.shape[1] > 1:
        flags = resets[:, ::-1] if reverse else resets
        flags = np.concatenate([flags[:, 1:-1], np.zeros_like(flags[:, :1]), flags[:, -1:]], axis=1)
        resets = flags[:, ::-1] if reverse else flags
    return scan_episodes(scan, Lambda_bar, Bu, x0, reverse, resets, s)


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


def _from_zero(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """your scan starts from zero, whatever initial state it is given"""
    return scan(Lambda_bar, Bu, None, reverse)


def _multiplied(Lambda_bar: Array, Bu: Array, x0: Array | None) -> tuple[Array, Array]:
    """Multipliers of which x0 multiplies the first, and x0 or zero."""
    a, start = np.broadcast_to(Lambda_bar, Bu.shape).copy(), np.zeros_like(Bu[:, 0]) if x0 is None else x0
    a[:, 0] *= start
    return a, start


def _times_start(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """your scan replaces Lambda_bar[0] by Lambda_bar[0] · x0 where it must add Lambda_bar[0] · x0 to Bu[0]:
    the initial state is lost, and from last to first step 0 forgets the steps after it"""
    (x, last), _ = scan(_multiplied(Lambda_bar, Bu, x0)[0], Bu, None, reverse)
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def _times_start_vjp(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    Lambda_bar, x, x0, reverse = residuals
    a, start = _multiplied(Lambda_bar, x, x0)
    da, dBu, _ = vjp(ScanResiduals(a, x, None, reverse), d)
    dx0 = np.conj(Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, 0]) * da[:, 0]
    da[:, 0] *= np.conj(start)
    return sum_to_channels(da) if Lambda_bar.ndim == 1 else da, dBu, dx0


class _Twofold(NamedTuple):
    """Residuals of a scan that ends at step ``end`` and adds a reset's state ``times`` (N, L, 1) times."""

    of_state: Any
    of_zero: Any
    times: Array
    end: int


def _combined(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """(whether there is a reset, how often its state was added) of two runs of steps as one."""
    return earlier[0] | later[0], np.where(later[0], later[1] + 1, earlier[1])


def _prefixes(resets: Array, added: Array) -> tuple[Array, Array]:
    """`_combined` of all steps up to each, in the order of an odd-even parallel scan over axis 1."""
    if resets.shape[1] < 2:
        return resets, added
    here = resets.copy(), added.copy()
    odd = _prefixes(*_combined((resets[:, :-1:2], added[:, :-1:2]), (resets[:, 1::2], added[:, 1::2])))
    later = resets[:, 2::2], added[:, 2::2]
    earlier = odd[0][:, : later[0].shape[1]], odd[1][:, : later[0].shape[1]]
    for whole, at_odd, at_even in zip(here, odd, _combined(earlier, later), strict=True):
        whole[:, 1::2], whole[:, 2::2] = at_odd, at_even
    return here


def _not_associative(
    scan_episodes: Any, scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None,
    reverse: bool = False, resets: Array | None = None, s: Array | None = None,
) -> Any:  # fmt: skip
    """your operator with resets is not associative where they go to a state other than zero: combining steps
    in pairs adds that state several times

    As (a, b, c) • (a', b', c') = (a', b' + a' s, 1) where c', of runs of steps as of a single one.
    The initial state is the element before the first step.
    """
    given = Lambda_bar, Bu, x0, reverse, resets
    (x, last), residuals = scan_episodes(scan, *given, s)
    if resets is None or s is None:
        return (x, last), residuals
    (rest, last_rest), of_zero = scan_episodes(scan, *given, None)
    flags = np.concatenate([np.zeros_like(resets[:, :1]), resets[:, ::-1] if reverse else resets], axis=1)
    times = _prefixes(flags, np.zeros(flags.shape, int))[1][:, 1:, None].astype(x.real.dtype)
    times, end = (times[:, ::-1], 0) if reverse else (times, -1)
    x, last = rest + times * (x - rest), last_rest + times[:, end] * (last - last_rest)
    fold: Any = _Twofold(residuals, of_zero, times, end)
    return (x, last), episodes.EpisodesResiduals(fold, residuals.scan)


def _not_associative_vjp(vjp: Any, scan: Any, residuals: Any, d: Any) -> Any:
    if not isinstance(residuals.fold, _Twofold):
        return vjp(scan, residuals, d)
    of_state, of_zero, times, end = residuals.fold
    weights = times, times[:, end]
    part = [None if dx is None else w * dx for w, dx in zip(weights, d, strict=True)]
    rest = [None if dx is None else (1 - w) * dx for w, dx in zip(weights, d, strict=True)]
    dLambda_bar, dBu, dx0, ds = vjp(scan, of_state, part)
    others = vjp(scan, of_zero, rest)
    return dLambda_bar + others[0], dBu + others[1], dx0 + others[2], ds


SCANS = (
    mutant("M03", "tail of a tile", "scan", (SCAN_VJP, _tail)),
    mutant("M04", "reverse scan of odd length", "scan", (SCAN, _odd)),
    mutant("M05", "no cotangent of the multiplier", "scan", (SCAN_VJP, _no_multiplier)),
    mutant("M06", "first step of a shared multiplier", "scan", (SCAN_VJP, _no_first_step)),
    mutant("M08", "single-step chunk", "scan", (SCAN_VJP, _single_step)),
    mutant("M10", "no gradient of the initial state", "scan", (SCAN_VJP, _no_start)),
    mutant("M11", "shards that are not the last", "scan", (SCAN_VJP, _cut)),
    mutant("M17", "division by a cumulative product", "scan", (SCAN, _by_division)),
    mutant("M26", "reset one step late", "scan", (SCAN, _late_reset)),
    mutant("M41", "reset one step early", "scan", ("ssm.resets:fold_resets", _early_reset)),
    mutant("M42", "backward reset at the same step", "ssm", ("ssm.resets:resets_after", _same_step)),
    mutant("M43", "overflow before a reset", "scan", (EPISODES, _overflowing), numeric=False),
    mutant("M49", "initial state dropped", "scan", (SCAN, _from_zero), (SCAN_VJP, _no_start)),
    mutant(
        "M50", "multiplier times the initial state", "scan",
        (SCAN, _times_start), (SCAN_VJP, _times_start_vjp), implies=("M49",),
    ),
    mutant(
        "M51", "operator of resets not associative", "scan",
        (EPISODES, _not_associative), (EPISODES_VJP, _not_associative_vjp),
    ),
    mutant("M67", "resets early but for the last", "scan", (EPISODES, _early_but_last)),
)  # fmt: skip
