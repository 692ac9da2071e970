"""From a sequence to one vector: mean, last valid step, maximum, mean + maximum. Derivation:
docs/derivations/pool.md.

``where`` says where the sequences lie: ``lengths`` (N,), the valid steps of each row; None, all L of them;
or the `Segments` of packed rows, of which each of S sequences is pooled by itself.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from s5ref.arrays import Array
from s5ref.segments import Segments

Where: TypeAlias = Array | Segments | None


class PoolResiduals(NamedTuple):
    """Residuals of a pooling: the weight of a step (N, L, 1), or (1, 1, 1) where it is constant; the number
    of steps of a row; with a maximum where each channel has it (N, H), as an index of the rows laid end to
    end; the segments if there are.
    """

    weight: Array
    steps: int
    largest: Array | None = None
    segments: Segments | None = None


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
    inside = np.arange(L, like=where)[None, :] < where[:, None]
    return _weighted(x, (inside.astype(x.dtype) / where[:, None].astype(x.dtype))[:, :, None])


def pool_last(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """x at the last valid step. x (N, L, H); returns (N, H), or (S, H)."""
    if isinstance(where, Segments):
        last = where.first + where.lengths - 1
        flat = np.zeros_like(x[..., :1]).reshape(-1, 1)
        flat[last] = 1
        weight = flat.reshape(*x.shape[:2], 1)
        return x.reshape(-1, x.shape[-1])[last], PoolResiduals(weight, x.shape[1], segments=where)
    last = np.full(x.shape[0], x.shape[1], like=x) if where is None else where
    weight = np.arange(x.shape[1], like=last)[None, :] == last[:, None] - 1
    return _weighted(x, weight.astype(x.dtype)[:, :, None])


def pool_max(x: Array, where: Where) -> tuple[Array, PoolResiduals]:
    """max_{t < length} x_t, channel by channel. x (N, L, H); returns (N, H), or (S, H).

    Of equal steps the first has the cotangent. NaN at a valid step is the maximum. Segments are laid out as
    padded rows first, (S, L, H).
    """
    N, L, H = x.shape
    flat, first, segments, valid, lengths = x.reshape(-1, H), np.arange(N, like=x) * L, None, x, where
    if isinstance(where, Segments):
        segments, first, lengths = where, where.first, where.lengths
        steps = first[:, None] + np.arange(L, like=first)[None, :]
        valid = flat[np.minimum(steps, N * L - 1)]
    if lengths is not None:
        inside = np.arange(valid.shape[1], like=lengths)[None, :, None] < lengths[:, None, None]
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
    weight, L, largest, segments = residuals
    each = dy[:, None, :] if segments is None else segments.spread(dy)
    dx = np.broadcast_to(weight * each, (each.shape[0], L, dy.shape[1]))
    if largest is not None:
        dx = dx.copy()
        dx.reshape(-1, dy.shape[1])[_at(largest)] += dy
    return dx


def _weighted(x: Array, weight: Array) -> tuple[Array, PoolResiduals]:
    # where, not product alone: what stands at padding must not count even if it is infinite
    y = np.sum(np.where(weight != 0, x * weight, np.zeros_like(x)), axis=1)
    return y, PoolResiduals(weight, x.shape[1])


def _at(steps: Array) -> tuple[Array, Array]:
    """The index that takes one step (N, H) of every channel from rows laid end to end."""
    return steps, np.arange(steps.shape[1], like=steps)[None, :]


POOLS = {"mean": pool_mean, "last": pool_last, "max": pool_max, "mean+max": pool_mean_max}
