"""x W + b on a device, by its real 2-D matrix product. The pair is `s5ref.nn.dense.linear`'s."""

from __future__ import annotations

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import column_sum
from s5ref.nn.dense import LinearResiduals


def linear(on: Launcher, x: Array, W: Array, bias: Array | None = None) -> tuple[Array, LinearResiduals]:
    """x W + b over the last axis. x (…, I), W (I, O), bias (O,); returns (…, O)."""
    y = product(on, x.reshape(-1, W.shape[0]), W).reshape(*x.shape[:-1], W.shape[1])
    if bias is not None:
        y += bias
    return y, LinearResiduals(x, W, bias is not None)


def linear_vjp(on: Launcher, residuals: LinearResiduals, dy: Array) -> tuple[Array, Array, Array | None]:
    """(dx, dW, dbias): dy Wᵀ, xᵀ dy and Σ dy."""
    x, W, has_bias = residuals
    dy = contiguous(dy)
    rows = dy.reshape(-1, W.shape[1])
    dx = product(on, rows, W.T).reshape(x.shape)
    dW = product(on, x.reshape(-1, W.shape[0]).T, rows)
    return dx, dW, column_sum(on, dy) if has_bias else None


def product(on: Launcher, a: Array, b: Array) -> Array:
    """a b, both real and 2-D. A transposed view is not copied."""
    left, left_transposed = _operand(a)
    right, right_transposed = _operand(b)
    out: Array = on.empty((a.shape[0], b.shape[1]), a.dtype)
    on.device.gemm(left, right, out, left_transposed, right_transposed)
    return out


def _operand(x: Array) -> tuple[Array, bool]:
    if not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return x.T, True
    return contiguous(x), False
