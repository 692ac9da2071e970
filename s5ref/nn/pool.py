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
    inside = np.arange(L, like=lengths)[None, :] < lengths[:, None]
    return _weighted(x, (inside.astype(x.dtype) / lengths[:, None].astype(x.dtype))[:, :, None])


def pool_last(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """x at the last valid step. x (N, L, H), lengths (N,) or None for all L; returns (N, H)."""
    last = np.full(x.shape[0], x.shape[1], like=x) if lengths is None else lengths
    weight = np.arange(x.shape[1], like=last)[None, :] == last[:, None] - 1
    return _weighted(x, weight.astype(x.dtype)[:, :, None])


def pool_max(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
    """max_{t < length} x_t, channel by channel. x (N, L, H), lengths (N,) or None for all L; returns (N, H).

    Of equal steps the first has the cotangent. NaN at a valid step is the maximum.
    """
    valid = x
    if lengths is not None:
        inside = np.arange(x.shape[1], like=lengths)[None, :, None] < lengths[:, None, None]
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


def _weighted(x: Array, weight: Array) -> tuple[Array, PoolResiduals]:
    # where, not product alone: what stands at padding must not count even if it is infinite
    y = np.sum(np.where(weight != 0, x * weight, np.zeros_like(x)), axis=1)
    return y, PoolResiduals(weight, x.shape[1])


def _at(steps: Array) -> tuple[Array, Array, Array]:
    """The index that takes one step (N, H) of every channel."""
    N, H = steps.shape
    return np.arange(N, like=steps)[:, None], steps, np.arange(H, like=steps)[None, :]


POOLS = {"mean": pool_mean, "last": pool_last, "max": pool_max, "mean+max": pool_mean_max}
