"""From a sequence to one vector: mean, last valid step, maximum, mean + maximum. Derivation:
docs/derivations/pool.md.

``where`` says where the sequences lie: ``lengths`` (N,), the valid steps of each row; None, all L of them;
or the `Segments` of packed rows, of which each of S sequences is pooled by itself.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from s5ref.arrays import Array
from s5ref.ranks import Ranks
from s5ref.segments import Segments

Where: TypeAlias = Array | Segments | None


class PoolResiduals(NamedTuple):
    """Residuals of a pooling: the weight of a step (N, L, 1), or (1, 1, 1) where it is constant; the number
    of steps of a row; with a maximum where each channel has it (N, H), as an index of the rows laid end to
    end; the segments if there are; where ranks share the sequences, whether this one has the maximum (N, H).
    """

    weight: Array
    steps: int
    largest: Array | None = None
    segments: Segments | None = None
    here: Array | None = None


def pool_mean(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """Σ_{t < length} x_t / length. x (N, L, H); returns (N, H), or (S, H)."""
    L = x.shape[1]
    if where is None:
        return np.mean(x, axis=1), PoolResiduals(np.ones_like(x[:1, :1, :1]) / L, L)
    if isinstance(where, Segments):
        order = np.argsort(where.first)  # a sum from each first step to the next
        inside = np.where(where.valid, x, np.zeros_like(x[:1, :1, :1])).reshape(-1, x.shape[-1])
        sums = np.add.reduceat(inside, where.first[order], axis=0)[np.argsort(order)]
        lengths = where.lengths.astype(x.dtype)[:, None]
        weight = where.valid / where.spread(lengths)
        return sums / lengths, PoolResiduals(weight, L, segments=where)
    return _weighted(x, _valid_and_weight("mean", x, 0, where)[1])


def pool_last(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """x at the last valid step. x (N, L, H); returns (N, H), or (S, H)."""
    if isinstance(where, Segments):
        last = where.first + where.lengths - 1
        flat = np.zeros_like(x[..., :1]).reshape(-1, 1)
        flat[last] = 1
        weight = flat.reshape(*x.shape[:2], 1)
        return x.reshape(-1, x.shape[-1])[last], PoolResiduals(weight, x.shape[1], segments=where)
    last = np.full(x.shape[0], x.shape[1], like=x) if where is None else where
    return _weighted(x, _valid_and_weight("last", x, 0, last)[1])


def pool_max(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """max_{t < length} x_t, channel by channel. x (N, L, H); returns (N, H), or (S, H).

    Of equal steps the first has the cotangent. NaN at a valid step is the maximum. Segments are laid out as
    padded rows first, (S, L, H).
    """
    N, L, H = x.shape
    flat, first, valid, segments = x.reshape(-1, H), np.arange(N, like=x) * L, x, None
    if isinstance(where, Segments):
        segments, first, where = where, where.first, where.lengths
        steps = first[:, None] + np.arange(L, like=first)[None, :]
        valid = flat[np.minimum(steps, N * L - 1)]
    if where is not None:
        inside, _ = _valid_and_weight("max", valid, 0, where)
        valid = np.where(inside, valid, np.full_like(x[:1, :1, :1], -np.inf))
    largest = first[:, None] + np.argmax(valid, axis=1)
    return flat[_at(largest)], PoolResiduals(np.zeros_like(x[:1, :1, :1]), L, largest, segments)


def pool_mean_max(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """`pool_mean` + `pool_max`. x (N, L, H); returns (N, H), or (S, H)."""
    mean, residuals = pool_mean(x, where)
    maximum, of_maximum = pool_max(x, where)
    return mean + maximum, residuals._replace(largest=of_maximum.largest)


def pool_vjp(residuals: PoolResiduals, dy: Array) -> Array:
    """dx (N, L, H): the weight times dy, which is (N, H) or (S, H), and dy once more where the maximum is.
    Without a maximum and with a constant weight it is a view that repeats one step.
    """
    weight, L, largest, segments, here = residuals
    each = dy[:, None, :] if segments is None else segments.spread(dy)
    dx = np.broadcast_to(weight * each, (each.shape[0], L, dy.shape[1]))
    if largest is not None:
        dx = dx.copy()
        dx.reshape(-1, dy.shape[1])[_at(largest)] += (
            dy if here is None else np.where(here, dy, np.zeros_like(dy))
        )
    return dx


def pool_across(
    ranks: Ranks, start: int, pooling: str, x: Array, lengths: Array
) -> tuple[Array, PoolResiduals]:
    """The pooling called ``pooling`` of sequences of which each of ``ranks`` has consecutive steps, this one
    x (N, l, H) from step ``start`` on; lengths (N,) of the whole sequences. Returns (N, H), the same for all.
    """
    inside, weight = _valid_and_weight(pooling, x, start, lengths)
    total = ranks.total(_sum(x, weight))
    if "max" not in pooling:
        return total, PoolResiduals(weight, x.shape[1])
    valid = np.where(inside, x, np.full_like(x[:1, :1, :1], -np.inf))
    of_all = ranks.gather(np.max(valid, axis=1))
    owner = np.argmax(of_all, axis=0)  # the first of equals
    first = np.arange(x.shape[0], like=owner)[:, None] * x.shape[1]
    largest = first + np.argmax(valid, axis=1)
    residuals = PoolResiduals(weight, x.shape[1], largest, here=owner == ranks.rank)
    return total + np.max(of_all, axis=0), residuals


class PoolSoFar(NamedTuple):
    """A pooling of a sequence whose chunks come one after the other: Σ of weight times x (N, H); where it has
    a maximum that (N, H), and the step at which each channel has it (N, H).
    """

    total: Array
    maximum: tuple[Array, Array] | None = None


def pool_chunk(
    pooling: str, so_far: PoolSoFar | None, x: Array, start: int, lengths: Array
) -> tuple[Array, PoolSoFar]:
    """The pooling called ``pooling`` of all steps up to the end of a chunk x (N, l, H) that begins at step
    ``start``; lengths (N,) of the whole sequences. After the last chunk it is that of the whole.
    """
    inside, weight = _valid_and_weight(pooling, x, start, lengths)
    total = _sum(x, weight)
    if so_far is not None:
        total = so_far.total + total
    if "max" not in pooling:
        return total, PoolSoFar(total)
    valid = np.where(inside, x, np.full_like(x[:1, :1, :1], -np.inf))
    largest, at = np.max(valid, axis=1), start + np.argmax(valid, axis=1)
    if so_far is not None and so_far.maximum is not None:
        before, step = so_far.maximum
        largest, at = np.maximum(before, largest), np.where(largest > before, at, step)  # the first of equals
    return total + largest, PoolSoFar(total, (largest, at))


def pool_chunk_vjp(
    pooling: str, pooled: PoolSoFar, dy: Array, like: Array, start: int, lengths: Array
) -> Array:
    """The cotangent of a chunk ``like`` (N, l, H) from that of the pooling of the whole, dy (N, H)."""
    _, weight = _valid_and_weight(pooling, like, start, lengths)
    dx = np.broadcast_to(weight * dy[:, None, :], like.shape)
    if pooled.maximum is not None:
        here = _steps(like, start)[None, :, None] == pooled.maximum[1][:, None, :]
        dx = dx + np.where(here, dy[:, None, :], np.zeros_like(dy[:, None, :]))
    return dx


def _valid_and_weight(pooling: str, x: Array, start: int, lengths: Array) -> tuple[Array, Array]:
    """(whether a step is valid, its weight) of the steps x (N, l, H) from ``start`` on, (N, l, 1) each."""
    steps, lengths = _steps(x, start)[None, :, None], lengths[:, None, None]
    inside = steps < lengths
    if pooling == "last":
        return inside, (steps == lengths - 1).astype(x.dtype)
    share = 1 / lengths.astype(x.dtype) if "mean" in pooling else np.zeros_like(x[:, :1, :1])
    return inside, inside.astype(x.dtype) * share


def _steps(x: Array, start: int) -> Array:
    return np.arange(start, start + x.shape[1], like=x)


def _weighted(x: Array, weight: Array) -> tuple[Array, PoolResiduals]:
    return _sum(x, weight), PoolResiduals(weight, x.shape[1])


def _sum(x: Array, weight: Array) -> Array:
    # where, not product alone: what stands at padding must not count even if it is infinite
    total: Array = np.sum(np.where(weight != 0, x * weight, np.zeros_like(x)), axis=1)
    return total


def _at(steps: Array) -> tuple[Array, Array]:
    """The index that takes one step (N, H) of every channel from rows laid end to end."""
    return steps, np.arange(steps.shape[1], like=steps)[None, :]


POOLS = {"mean": pool_mean, "last": pool_last, "max": pool_max, "mean+max": pool_mean_max}
