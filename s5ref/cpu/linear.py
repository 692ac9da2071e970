"""x W + b on fixed row tiles, each one single-threaded BLAS product. Stands in for s5ref.nn.dense.linear."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.parallel import run, single_threaded_blas
from s5ref.nn.dense import Linear

ROWS = 512  # rows of a tile of x W: tiles of this size stay in the cache
PARTIALS = 16  # row groups of xᵀ dy, summed in order


def linear(x: Array, W: Array, bias: Array | None = None) -> tuple[Array, Linear]:
    """x W + b over the last axis. x (…, I), W (I, O), bias (O,); returns (…, O)."""
    with single_threaded_blas():
        y = _product(x.reshape(-1, W.shape[0]), W, bias)
    return y.reshape(*x.shape[:-1], W.shape[1]), Linear(x, W, bias is not None)


def linear_vjp(saved: Linear, dy: Array) -> tuple[Array, Array, Array | None]:
    """(dx, dW, dbias): dy Wᵀ, xᵀ dy and Σ dy."""
    x, W, has_bias = saved
    dy2d, x2d = dy.reshape(-1, W.shape[1]), x.reshape(-1, W.shape[0])
    M = len(x2d)
    groups = max(1, min(PARTIALS, M // ROWS))
    dW = np.empty((groups, *W.shape), x.dtype)
    dbias = np.empty((groups, W.shape[1]), x.dtype)

    def group(lo: int, hi: int) -> None:
        for g in range(lo, hi):
            rows = slice(M * g // groups, M * (g + 1) // groups)
            np.matmul(x2d[rows].T, dy2d[rows], out=dW[g])
            if has_bias:
                np.sum(dy2d[rows], axis=0, out=dbias[g])

    with single_threaded_blas():
        dx = _product(dy2d, W.T, None)
        run(group, groups)
    return dx.reshape(x.shape), in_order(dW), in_order(dbias) if has_bias else None


def _product(x: Array, W: Array, bias: Array | None) -> Array:
    M = len(x)
    y = memory.empty((M, W.shape[1]), x.dtype)

    def tile(lo: int, hi: int) -> None:
        for t in range(lo, hi):
            rows = slice(t * ROWS, min((t + 1) * ROWS, M))
            np.matmul(x[rows], W, out=y[rows])
            if bias is not None:
                np.add(y[rows], bias, out=y[rows])

    run(tile, -(-M // ROWS))
    return y


def in_order(parts: Array) -> Array:
    """parts[0] + parts[1] + …, in this order."""
    total: Array = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total
