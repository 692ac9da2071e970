"""x W + b by `s5ref.cpu.simd`, tile by tile. Stands in for s5ref.nn.dense.linear."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.compile import REAL, compiled, writeable
from s5ref.cpu.parallel import run
from s5ref.cpu.simd import tile_product, tile_product_plus
from s5ref.cpu.tile import TILE, sum_rows
from s5ref.nn import dense
from s5ref.nn.dense import LinearResiduals

GROUPS = 16  # of tiles, whose parts of xᵀ dy are summed in order


def linear(x: Array, W: Array, bias: Array | None = None) -> tuple[Array, LinearResiduals]:
    """x W + b over the last axis. x (…, I), W (I, O), bias (O,); returns (…, O). Other dtypes than float32 or
    float64, or more than one, run the reference.
    """
    if not _takes(x, W, *([] if bias is None else [bias])):
        return dense.linear(x, W, bias)
    row = np.empty((0, W.shape[1]), x.dtype) if bias is None else writeable(bias, x.dtype)[None]
    return _product(x, W, row), LinearResiduals(x, W, bias is not None)


def linear_vjp(residuals: LinearResiduals, dy: Array) -> tuple[Array, Array, Array | None]:
    """(dx, dW, dbias): dy Wᵀ, xᵀ dy and Σ dy."""
    x, W, has_bias = residuals
    if not _takes(x, W, dy):
        return dense.linear_vjp(residuals, dy)
    x2d, dy2d = _rows(x), _rows(dy)
    groups = max(1, min(GROUPS, len(x2d) // (2 * TILE)))
    dW, dbias = np.zeros((groups, *W.shape), x.dtype), np.zeros((groups, 1, W.shape[1]), x.dtype)
    run(_sums, groups, x2d, dy2d, dW, dbias)
    dx = _product(dy, W.T, dbias[0, :0])
    return dx, in_order(dW), in_order(dbias)[0] if has_bias else None


def in_order(parts: Array) -> Array:
    """parts[0] + parts[1] + …, in an order that depends on the shape alone."""
    total: Array = np.add.reduce(parts, axis=0)
    return total


def _takes(*arrays: Array) -> bool:
    kinds = {a.dtype for a in arrays}
    return len(kinds) == 1 and kinds <= set(REAL) and all(a.size for a in arrays)


def _rows(x: Array) -> Array:
    return writeable(x, x.dtype).reshape(-1, x.shape[-1])


def _product(x: Array, W: Array, bias: Array) -> Array:
    """x W, and bias (1, O) added, or nothing where it has no row."""
    x2d, y = _rows(x), memory.empty((*x.shape[:-1], W.shape[1]), x.dtype)
    run(_affine, -(-len(x2d) // TILE), x2d, writeable(W, x.dtype), bias, y.reshape(-1, W.shape[1]))
    return y


@compiled
def _affine(lo, hi, x, W, bias, y):  # type: ignore[no-untyped-def]
    """Tiles lo to hi of y = x W + bias."""
    for t in range(lo * TILE, min(hi * TILE, len(x)), TILE):
        rows, to = x[t : t + TILE], y[t : t + TILE]
        if bias.shape[0]:
            tile_product_plus(rows, W, bias, to)
        else:
            tile_product(rows, W, to)


@compiled
def _sums(lo, hi, x, dy, dW, dbias):  # type: ignore[no-untyped-def]
    """xᵀ dy and Σ dy of groups lo to hi of the rows, tile by tile."""
    for g in range(lo, hi):
        first, last = len(x) * g // len(dW), len(x) * (g + 1) // len(dW)
        for t in range(first, last, TILE):
            rows, drows = x[t : min(t + TILE, last)], dy[t : min(t + TILE, last)]
            tile_product_plus(rows.T, drows, dW[g], dW[g])
            sum_rows(drows, dbias[g, 0])
