"""BatchNorm on a device: kernels/norm.cu. The pair is `s5ref.nn.norm.batch_norm`'s.

Its statistics take one pass over x, or none: moments are per slab, and `s5ref.gpu.tail.gate` leaves those of
its output as it writes it.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import Rows, rows_of, total
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNormResiduals, Running


def moments_of(on: Launcher, x: Array, valid: Array | None) -> Array:
    """(slabs, 4, H): of every slab's valid rows the count, a value, how far the mean lies from it, and the
    sum of squares about the mean.
    """
    cut, partial = rows_of(x), empty_moments(on, x)
    moments = on.kernel("norm", "moments", x.dtype)
    cut.launch(moments, contiguous(x), contiguous(valid), partial, *cut.sizes)
    return partial


def empty_moments(on: Launcher, x: Array) -> Array:
    """Memory for the moments of x."""
    cut = rows_of(x)
    memory: Array = on.empty((cut.slabs, 4, cut.channels), x.dtype)
    return memory


def batch_norm(
    on: Launcher,
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool,
    valid: Array | None,
    moments: Array | None = None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias, and the running statistics after it. moments: what
    `moments_of` makes of x and ``valid``, if it is at hand.
    """
    data, cut, count = contiguous(x), rows_of(x), None
    if training:
        partial = moments_of(on, x, valid) if moments is None else moments
        mean, rstd, running, count = _statistics(on, partial, running, momentum)
    else:
        mean, rstd = running.mean, 1 / np.sqrt(running.var + BATCH_NORM_EPS)
    y = on.like(x)
    affine = map(contiguous, (mean, rstd, scale, bias))
    cut.launch(on.kernel("norm", "normalise", x.dtype), data, *affine, y, *cut.sizes)
    return (y, running), BatchNormResiduals(x, mean, rstd, scale, valid, count)


def batch_norm_vjp(on: Launcher, residuals: BatchNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd, scale, valid, count = residuals
    cut, dtype = rows_of(x), x.dtype
    x, mean, rstd, scale, dy = map(contiguous, (x, mean, rstd, scale, dy))
    parts = [on.empty((cut.slabs, cut.channels), dtype) for _ in range(2)]
    cut.launch(on.kernel("norm", "affine_vjp", dtype), x, mean, rstd, dy, *parts, *cut.sizes)
    dscale, dbias = (total(on, part) for part in parts)
    dx = on.like(x)
    arguments = (x, mean, rstd, scale, contiguous(valid), count, dscale, dbias, dy, dx)
    cut.launch(on.kernel("norm", "normalise_vjp", dtype), *arguments, *cut.sizes)
    return dx, dscale, dbias


def _statistics(
    on: Launcher, partial: Array, running: Running, momentum: float
) -> tuple[Array, Array, Running, Array]:
    """(mean, 1/√(σ² + ε), running statistics after this batch, count) of all slabs."""
    slabs, _, H = partial.shape
    real = partial.dtype.type
    mean, rstd, new_mean, new_var = (on.empty((H,), partial.dtype) for _ in range(4))
    count = on.empty((1,), partial.dtype)
    cut = Rows(slabs, H, slabs)
    weights = real(momentum), real(1 - momentum), real(BATCH_NORM_EPS)
    results = mean, rstd, new_mean, new_var, count
    kernel = on.kernel("norm", "statistics", partial.dtype)
    cut.launch(kernel, partial, *map(contiguous, running), *weights, *results, *cut.sizes[:2])
    return mean, rstd, Running(new_mean, new_var), count
