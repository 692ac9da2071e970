"""From a sequence to one vector: mean, masked mean, last valid step. Derivation: docs/derivations/pool.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array


class PoolResiduals(NamedTuple):
    """Saved by a pooling: the weight (N, L, 1), or (1, 1, 1) where it is constant, and the number of
    steps.
    """

    weight: Array
    steps: int


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


def _weighted(x: Array, weight: Array) -> tuple[Array, PoolResiduals]:
    # where, not product alone: what stands at padding must not count even if it is infinite
    y = np.sum(np.where(weight != 0, x * weight, np.zeros_like(x)), axis=1)
    return y, PoolResiduals(weight, x.shape[1])


def pool_vjp(residuals: PoolResiduals, dy: Array) -> Array:
    """dx (N, L, H): the weight times dy (N, H); a view that repeats one step where the weight is constant."""
    dx = residuals.weight * dy[:, None, :]
    return np.broadcast_to(dx, (dy.shape[0], residuals.steps, dy.shape[1]))
