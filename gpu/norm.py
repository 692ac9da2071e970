"""BatchNorm on a device: kernels/norm.cu. The pair is `s5ref.nn.norm.batch_norm`'s.

The statistics take one pass over x, in moments of each slab of rows. They take no pass where the moments are
known already: `s5ref.gpu.tail.gate` computes those of its output as it writes it.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import Rows, rows_of, total
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNormResiduals, Running
from s5ref.ranks import ALONE, Ranks, ranks_of


def moments_of(on: Launcher, x: Array, valid: Array | None) -> Array:
    """(slabs, 4, H), for the valid rows of each slab: their number, one of the values, the distance of the
    mean from it, and the sum of squares about the mean.
    """
    cut, partial = rows_of(x), empty_moments(on, x)
    moments = on.kernel("norm", "moments", x.dtype)
    cut.launch(moments, contiguous(x), contiguous(valid), partial, *cut.sizes)
    return partial


def of_all(ranks: Ranks, moments: Array) -> Array:
    """The moments of the slabs of all ranks, one behind the other."""
    return moments if ranks.size == 1 else ranks.gather(moments).reshape(-1, *moments.shape[1:])


def empty_moments(on: Launcher, x: Array) -> Array:
    """Memory for the moments of x."""
    cut = rows_of(x)
    memory: Array = on.empty((cut.slabs, 4, cut.channels), x.dtype)
    return memory


def batch_norm_by_moments(
    on: Launcher, moments: Array, x: Array, scale: Array, bias: Array, running: Running, momentum: float,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:  # fmt: skip
    """`batch_norm` in training, from the ``moments`` that `moments_of` gives for x and ``valid``, and
    `of_all` for those of other processes.
    """
    mean, rstd, running, count = _statistics(on, moments, running, momentum)
    y = _normalise(on, x, mean, rstd, scale, bias)
    return (y, running), BatchNormResiduals(x, mean, rstd, scale, valid, count)


def batch_norm(
    on: Launcher, x: Array, scale: Array, bias: Array, running: Running, momentum: float,
    training: bool | Ranks,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:  # fmt: skip
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias, and the running statistics after it."""
    if training:
        moments = of_all(ranks_of(training), moments_of(on, x, valid))
        return batch_norm_by_moments(on, moments, x, scale, bias, running, momentum, valid)
    mean, rstd = running.mean, 1 / np.sqrt(running.var + BATCH_NORM_EPS)
    y = _normalise(on, x, mean, rstd, scale, bias)
    return (y, running), BatchNormResiduals(x, mean, rstd, scale, valid, None)


def batch_norm_vjp(
    on: Launcher, residuals: BatchNormResiduals, dy: Array, ranks: Ranks = ALONE
) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd, scale, valid, count = residuals
    cut, dtype = rows_of(x), x.dtype
    x, mean, rstd, scale, dy = map(contiguous, (x, mean, rstd, scale, dy))
    parts = [on.empty((cut.slabs, cut.channels), dtype) for _ in range(2)]
    cut.launch(on.kernel("norm", "affine_vjp", dtype), x, mean, rstd, dy, *parts, *cut.sizes)
    dscale, dbias = (total(on, part) for part in parts)
    dx = on.like(x)
    totals = [ranks.total(d) for d in (dscale, dbias)]
    arguments = (x, mean, rstd, scale, contiguous(valid), count, *totals, dy, dx)
    cut.launch(on.kernel("norm", "normalise_vjp", dtype), *arguments, *cut.sizes)
    return dx, dscale, dbias


def _normalise(on: Launcher, x: Array, mean: Array, rstd: Array, scale: Array, bias: Array) -> Array:
    y: Array = on.like(x)
    cut, arrays = rows_of(x), map(contiguous, (x, mean, rstd, scale, bias))
    cut.launch(on.kernel("norm", "normalise", x.dtype), *arrays, y, *cut.sizes)
    return y


def _statistics(
    on: Launcher, partial: Array, running: Running, momentum: float
) -> tuple[Array, Array, Running, Array]:
    """(mean, 1/√(σ² + ε), running statistics after this batch, number of rows) from all slabs."""
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
