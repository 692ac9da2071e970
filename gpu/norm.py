"""BatchNorm on a device: kernels/norm.cu. The pair is `s5ref.nn.norm.batch_norm`'s.

Mean and variance take a pass each, as the reference's do: E[x²] − E[x]² would cancel. What is left of (H,)
numbers is computed by array expressions.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import column_sum, rows_of, total
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNorm, Running


def batch_norm(
    on: Launcher,
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNorm]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias, and the running statistics after it."""
    data, cut, count = contiguous(x), rows_of(x), None
    if training:
        which = None if valid is None else contiguous(valid)
        count = (
            np.full_like(x[:1, 0, :1], x.shape[0] * x.shape[1])[0]
            if valid is None
            else sum_to_channels(valid.astype(x.dtype))
        )
        mean = column_sum(on, data, which) / count
        partial = on.empty((cut.slabs, cut.channels), x.dtype)
        squares = on.kernel("norm", "centred_squares", x.dtype)
        cut.launch(squares, data, mean, which, partial, *cut.sizes)
        var = total(on, partial) / count
        running = Running(
            momentum * running.mean + (1 - momentum) * mean, momentum * running.var + (1 - momentum) * var
        )
    else:
        mean, var = running
    rstd = 1 / np.sqrt(var + BATCH_NORM_EPS)
    y = on.like(x)
    affine = map(contiguous, (mean, rstd, scale, bias))
    cut.launch(on.kernel("norm", "normalise", x.dtype), data, *affine, y, *cut.sizes)
    return (y, running), BatchNorm(x, mean, rstd, scale, valid, count)


def batch_norm_vjp(on: Launcher, saved: BatchNorm, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd, scale, valid, count = saved
    cut, dtype = rows_of(x), x.dtype
    x, mean, rstd, scale, dy = map(contiguous, (x, mean, rstd, scale, dy))
    parts = [on.empty((cut.slabs, cut.channels), dtype) for _ in range(2)]
    cut.launch(on.kernel("norm", "affine_vjp", dtype), x, mean, rstd, dy, *parts, *cut.sizes)
    dscale, dbias = (total(on, part) for part in parts)
    dx = on.like(x)
    which = None if valid is None else contiguous(valid)
    arguments = (x, mean, rstd, scale, which, count, dscale, dbias, dy, dx)
    cut.launch(on.kernel("norm", "normalise_vjp", dtype), *arguments, *cut.sizes)
    return dx, dscale, dbias
