"""A scan whose sequence is shared out: every rank has consecutive steps of it.

Each scans its own steps from zero, all exchange what a scan does to a state that enters it, the product of Λ̄
and the state at the end, and each scans again from the state that reaches it. Backward, cotangents of states
come from the other side. Derivation: docs/derivations/ranks.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Pair
from s5ref.ranks import Ranks
from s5ref.ssm.intervals import intervals_after
from s5ref.ssm.resets import (
    EpisodesResiduals,
    FoldResiduals,
    resets_after,
    scan_episodes,
    scan_episodes_vjp,
)


class AcrossResiduals(NamedTuple):
    """Residuals of `scan_across`: those of this rank's `scan_episodes`, and the product of its Λ̄ (N or 1, P),
    0 where a reset lets nothing through; None where the whole sequence is here.
    """

    fold: FoldResiduals | None
    scan: Any
    product: Array | None


def scan_across(
    scan: Pair,
    ranks: Ranks,
    Lambda_bar: Array,
    Bu: Array,
    x0: Array | None = None,
    reverse: bool = False,
    resets: Array | None = None,
    s: Array | None = None,
) -> tuple[tuple[Array, Array], AcrossResiduals]:
    """`s5ref.ssm.resets.scan_episodes` of a sequence of which every rank has consecutive steps: x (N, L, P)
    of these, and the final state (N, P) of the whole.

    ``x0`` is where the whole sequence starts; it counts at the rank that has that start.
    """
    given = scan, Lambda_bar, Bu
    if ranks.size == 1:
        out, episodes = scan_episodes(*given, x0, reverse, resets, s)
        return out, AcrossResiduals(*episodes, None)
    first = ranks.rank == _ends(ranks, reverse)[0]
    out, episodes = scan_episodes(*given, x0 if first else None, reverse, resets, s)
    product = _product(Lambda_bar, Bu, resets)
    state, last = _folded(ranks, product, out[1], reverse)
    if not first:
        out, episodes = scan_episodes(*given, state, reverse, resets, s)
    return (out[0], last), AcrossResiduals(*episodes, product)


def scan_across_vjp(
    scan: Pair,
    ranks: Ranks,
    residuals: AcrossResiduals,
    d: tuple[Array | None, Array | None],
    reverse: bool = False,
) -> tuple[Array, Array, Array, Array | None]:
    """(dΛ̄ like Λ̄, dBu, dx0, ds) from (dx, dx_last), dx_last that of the final state of the whole. dΛ̄ and ds
    are what this rank adds to them, and dx0 is zero but at the rank that has the start.
    """
    fold, of_scan, product = residuals
    episodes = EpisodesResiduals(fold, of_scan)
    if product is None:
        return scan_episodes_vjp(scan, episodes, d)
    first, last = _ends(ranks, reverse)
    dx, dx_last = d
    out = scan_episodes_vjp(scan, episodes, (dx, dx_last if ranks.rank == last else None))
    behind, _ = _folded(ranks, np.conj(product), out[2], not reverse)
    if ranks.rank != last:
        out = scan_episodes_vjp(scan, episodes, (dx, behind))
    dLambda_bar, dBu, dx0, ds = out
    return dLambda_bar, dBu, dx0 if ranks.rank == first else np.zeros_like(dx0), ds


def from_last(call: Call, learned: bool) -> tuple[Array | None, Array | None, Array | None]:
    """What a scan from the last step to the first sees: the interval after each step (N, L), or None; where
    an episode ends; and where its state is reset: there, and if it is ``learned`` at the last valid step, for
    a zero state stays zero over masked padding.
    """
    intervals, valid, resets = call.intervals, call.valid, call.resets
    if call.grid.sequence.size > 1:  # with the first step of the rank behind
        given = (intervals, 1), (valid, True), (resets, False)
        intervals, valid, resets = (_with_next(call.grid.sequence, x, edge) for x, edge in given)
    after = None if intervals is None else intervals_after(intervals, valid, resets)
    found = after, resets_after(resets), resets_after(resets, valid if learned else None)
    if call.grid.sequence.size == 1:
        return found
    after, ends, starts = (None if x is None else x[:, :-1] for x in found)
    return after, ends, starts


def held_across(ranks: Ranks, last: Array, first: Array | None, reverse: bool) -> tuple[Array | None, Array]:
    """(what a rank's first step has before it, ``first`` where the sequence begins; the last step of all),
    from the last step (N, P) of each.
    """
    if ranks.size == 1:
        return first, last
    edge = np.zeros_like(last) if first is None else first
    return ranks.before(last, edge, reverse), ranks.gather(last)[_ends(ranks, reverse)[1]]


def held_across_vjp(
    ranks: Ranks, dfirst: Array, dlast: Array | None, reverse: bool
) -> tuple[Array, Array | None]:
    """(dfirst, zero but where the sequence begins; the cotangent of this rank's last step)."""
    if ranks.size == 1:
        return dfirst, dlast
    begins, _ = _ends(ranks, reverse)
    here = ranks.before(dfirst, np.zeros_like(dfirst) if dlast is None else dlast, not reverse)
    return dfirst if ranks.rank == begins else np.zeros_like(dfirst), here


def _with_next(ranks: Ranks, x: Array | None, edge: Any) -> Array | None:
    """x (N, L, …) and behind it the first step of the rank behind, ``edge`` at the last: (N, L + 1, …)."""
    if x is None:
        return None
    first = x[:, :1]
    return np.concatenate([x, ranks.before(first, np.full_like(first, edge), reverse=True)], axis=1)


def _ends(ranks: Ranks, reverse: bool) -> tuple[int, int]:
    """The ranks where the sequence begins and ends, in the direction of a scan."""
    return (ranks.size - 1, 0) if reverse else (0, ranks.size - 1)


def _product(Lambda_bar: Array, Bu: Array, resets: Array | None) -> Array:
    """What a state that enters these steps is multiplied by, (N or 1, P)."""
    product: Array
    if Lambda_bar.ndim == 1:
        exact = Lambda_bar.astype(np.result_type(Lambda_bar, np.complex128))
        product = (exact ** Bu.shape[1]).astype(Bu.dtype)[None]
    else:
        product = np.prod(Lambda_bar, axis=1)
    if resets is not None:
        product = np.where(np.any(resets, axis=1, keepdims=True), np.zeros_like(product), product)
    return product


def _folded(ranks: Ranks, product: Array, end: Array, reverse: bool) -> tuple[Array, Array]:
    """(the state that enters this rank, zero at the first; the state at the end of all), where each takes a
    state x to product ∘ x + ``end`` (N, P).
    """
    products, ends = ranks.gather(np.stack([np.broadcast_to(product, end.shape), end])).swapaxes(0, 1)
    order = range(ranks.size)
    state = enters = np.zeros_like(end)
    for rank in reversed(order) if reverse else order:
        if rank == ranks.rank:
            enters = state
        carried = np.where(products[rank] == 0, np.zeros_like(end), products[rank] * state)  # 0 · ∞ is 0 here
        state = carried + ends[rank]
    return enters, state
