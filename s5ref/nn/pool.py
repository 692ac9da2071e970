"""From a sequence to one vector: mean, last valid step, maximum, mean + maximum. Derivation:
docs/derivations/pool.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array


class PoolResiduals(NamedTuple):
    """Residuals of a pooling: the weight of a step (N, L, 1), or (1, 1, 1) where it is constant; the number
    of steps; with a maximum the step at which each channel has it (N, H).
    """

    weight: Array
    steps: int
    largest: Array | None = None


def pool_mean(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """Σ_{t < length} x_t / length. x (N, L, H), lengths (N,) or None for all L; returns (N, H)."""
    L = x.shape[1]
    if lengths is None:
        return np.mean(x, axis=1), PoolResiduals(np.ones_like(x[:1, :1, :1]) / L, L)
    return _weighted(x, _valid_and_weight("mean", x, 0, lengths)[1])


def pool_last(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """x at the last valid step. x (N, L, H), lengths (N,) or None for all L; returns (N, H)."""
    last = np.full(x.shape[0], x.shape[1], like=x) if lengths is None else lengths
    return _weighted(x, _valid_and_weight("last", x, 0, last)[1])


def pool_max(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """max_{t < length} x_t, channel by channel. x (N, L, H), lengths (N,) or None for all L; returns (N, H).

    Of equal steps the first has the cotangent. NaN at a valid step is the maximum.
    """
    valid = x
    if lengths is not None:
        inside, _ = _valid_and_weight("max", x, 0, lengths)
        valid = np.where(inside, x, np.full_like(x[:1, :1, :1], -np.inf))
    largest = np.argmax(valid, axis=1)
    return x[_at(largest)], PoolResiduals(np.zeros_like(x[:1, :1, :1]), x.shape[1], largest)


def pool_mean_max(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """`pool_mean` + `pool_max`. x (N, L, H), lengths (N,) or None for all L; returns (N, H)."""
    mean, residuals = pool_mean(x, lengths)
    maximum, (_, _, largest) = pool_max(x, lengths)
    return mean + maximum, residuals._replace(largest=largest)


def pool_vjp(residuals: PoolResiduals, dy: Array) -> Array:
    """dx (N, L, H): the weight times dy (N, H), and dy once more where the maximum is. Without a maximum and
    with a constant weight it is a view that repeats one step.
    """
    weight, steps, largest = residuals
    dx = np.broadcast_to(weight * dy[:, None, :], (dy.shape[0], steps, dy.shape[1]))
    if largest is not None:
        dx = dx.copy()
        dx[_at(largest)] += dy
    return dx


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


def _at(steps: Array) -> tuple[Array, Array, Array]:
    """The index that takes one step (N, H) of every channel."""
    N, H = steps.shape
    return np.arange(N, like=steps)[:, None], steps, np.arange(H, like=steps)[None, :]


POOLS = {"mean": pool_mean, "last": pool_last, "max": pool_max, "mean+max": pool_mean_max}
