"""Resets: steps at which the state starts afresh, so that the episodes of one row do not know each other.

A reset at step k replaces the state that enters it by s, zero or learned: x_k = Λ̄_k s + Bu_k. It is folded
into the elements of the scan, at such a step (Λ̄_k, Bu_k) → (0, Bu_k + Λ̄_k s): they stay elements of the same
associative operator, and every scan has resets. Derivation: docs/derivations/resets.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, as_array, check_kind, check_shape, sum_to_channels
from s5ref.engine import Pair


class FoldResiduals(NamedTuple):
    """Residuals of `fold_resets`."""

    Lambda_bar: Array
    resets: Array
    s: Array | None


class EpisodesResiduals(NamedTuple):
    """Residuals of `scan_episodes`. ``fold`` is None where there are no resets."""

    fold: FoldResiduals | None
    scan: Any


def fold_resets(
    Lambda_bar: Array, Bu: Array, resets: Array, s: Array | None
) -> tuple[tuple[Array, Array], FoldResiduals]:
    """The elements of a scan that starts from s at every reset.

    Parameters
    ----------
    Lambda_bar : (P,) or (N, L, P)
    Bu : (N, L, P)
    resets : (N, L) bool
        Where the state that enters the step is replaced.
    s : (P,) or None
        What replaces it; None: zero.

    Returns
    -------
    Lambda_bar, Bu : (N, L, P)
        0 and Bu_k + Λ̄_k s at a reset; elsewhere as they were.
    residuals : FoldResiduals
    """
    at = resets[:, :, None]
    residuals = FoldResiduals(Lambda_bar, resets, s)
    if s is not None:
        Bu = np.where(at, Bu + Lambda_bar * s, Bu)
    return (np.where(at, np.zeros_like(Lambda_bar), Lambda_bar), Bu), residuals


def fold_resets_vjp(residuals: FoldResiduals, d: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, ds) from the cotangents of the folded elements.

    At a reset dΛ̄_k = dBu_k conj(s), elsewhere it passes; dBu passes; ds = Σ conj(Λ̄_k) dBu_k over the resets.
    """
    Lambda_bar, resets, s = residuals
    at, (dLambda_bar, dBu) = resets[:, :, None], d
    zero = np.zeros_like(dBu)
    dLambda_bar = np.where(at, zero if s is None else dBu * np.conj(s), dLambda_bar)
    if Lambda_bar.ndim == 1:
        dLambda_bar = sum_to_channels(dLambda_bar)
    return dLambda_bar, dBu, sum_to_channels(np.where(at, np.conj(Lambda_bar) * dBu, zero))


def scan_episodes(
    scan: Pair,
    Lambda_bar: Array,
    Bu: Array,
    x0: Array | None = None,
    reverse: bool = False,
    resets: Array | None = None,
    s: Array | None = None,
) -> tuple[tuple[Array, Array], EpisodesResiduals]:
    """The scan of an engine, with the resets of `fold_resets`: x (N, L, P) and the final state (N, P).

    x0 (N, P) is where the first step starts that no reset replaces; None: zero. Under ``reverse`` a reset
    replaces the state that comes from the step after.
    """
    if resets is None:
        out, residuals = scan.value(Lambda_bar, Bu, x0, reverse)
        return out, EpisodesResiduals(None, residuals)
    elements, fold = fold_resets(Lambda_bar, Bu, resets, s)
    (x, last), residuals = scan.value(*elements, x0, reverse)
    # An overflow times Λ̄_k = 0 is NaN, and so is every state after it: the last one tells.
    if isinstance(last, np.ndarray) and not np.isfinite(last).all():
        x[...], last = _one_by_one(scan, Lambda_bar, Bu, x0, reverse, resets, s)  # the residuals hold x
    return (x, last), EpisodesResiduals(fold, residuals)


def scan_episodes_vjp(
    scan: Pair, residuals: EpisodesResiduals, d: tuple[Array | None, Array | None]
) -> tuple[Array, Array, Array, Array | None]:
    """(dΛ̄ like Λ̄, dBu, dx0, ds) from (dx, dx_last); ds is None where there are no resets."""
    dLambda_bar, dBu, dx0 = scan.vjp(residuals.scan, d)
    if residuals.fold is None:
        return dLambda_bar, dBu, dx0, None
    dLambda_bar, dBu, ds = fold_resets_vjp(residuals.fold, (dLambda_bar, dBu))
    return dLambda_bar, dBu, dx0, ds


def resets_after(resets: Array | None, valid: Array | None = None) -> Array | None:
    """The flags (N, L) of the direction from last to first: of the step before each reset, and of the last
    valid step where padding follows it. None: there are none.
    """
    if resets is None and valid is None:
        return None
    begins: Any = False if resets is None else resets
    padding: Any = False if valid is None else ~valid[:, :, 0]
    flags = begins | padding
    return np.concatenate([flags[:, 1:], np.zeros_like(flags[:, :1])], axis=1)


def check_resets(where: str, resets: Any, letters: str, sizes: Mapping[str, int]) -> Array:
    """Booleans with the axes ``letters``.

    Raises
    ------
    ShapeError
        On another shape, or a dtype that is not bool.
    """
    resets = check_kind(where, "resets", as_array(resets), "b", "boolean, True where an episode begins")
    return check_shape(where, "resets", resets, letters, sizes)


def of_every_step(where: str, resets: Any, letters: str, sizes: Mapping[str, int]) -> Array:
    """`check_resets` of inputs with the axes ``letters``; without the axis L, those of the first step."""
    resets = as_array(resets)
    if resets.ndim == len(letters.split()) - 1:
        first = check_resets(where, resets, letters.removesuffix(" L"), sizes)[..., None]
        others = np.zeros_like(first, shape=(*first.shape[:-1], sizes["L"] - 1))
        return np.concatenate([first, others], axis=-1)
    return check_resets(where, resets, letters, sizes)


def _one_by_one(
    scan: Pair, Lambda_bar: Array, Bu: Array, x0: Array | None, reverse: bool, resets: Array, s: Array | None
) -> tuple[Array, Array]:
    """What `scan_episodes` returns, by one scan from each step at which a row is reset to the next such step:
    what an episode overflows to does not reach the next one.
    """
    if reverse:
        flipped = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, ::-1]
        x, state = _one_by_one(scan, flipped, Bu[:, ::-1], x0, False, resets[:, ::-1], s)
        return x[:, ::-1], state
    x, zero = np.empty_like(Bu), np.zeros_like(Bu[:, 0])
    state, start = zero if x0 is None else x0, zero if s is None else zero + s
    for k, end in pairwise(sorted({0, *np.flatnonzero(resets.any(axis=0)), Bu.shape[1]})):
        state = np.where(resets[:, k, None], start, state)
        steps = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k:end]
        (x[:, k:end], state), _ = scan.value(steps, Bu[:, k:end], state, False)
    return x, state
