"""LayerNorm on a device: kernels/layer_norm.cu. The pair is `s5ref.nn.norm.layer_norm`'s."""

from __future__ import annotations

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, blocks_for, contiguous, launch
from s5ref.gpu.rows import LANES, WARPS, column_sum, rows_of
from s5ref.nn.norm import LAYER_NORM_EPS, LayerNormResiduals

ROWS_PER_WARP = 4  # in the vjp, as in the kernel


def layer_norm(on: Launcher, x: Array, scale: Array, bias: Array) -> tuple[Array, LayerNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-6) + bias over the features."""
    y, xhat, rstd = on.like(x), on.like(x), on.empty((*x.shape[:-1], 1), x.dtype)
    cut, kernel = rows_of(x), on.kernel("layer_norm", "layer_norm", x.dtype)
    arguments = (*map(contiguous, (x, scale, bias)), x.dtype.type(LAYER_NORM_EPS), y, xhat, rstd)
    launch(kernel, blocks_for(cut.rows, WARPS), LANES * WARPS, *arguments, *cut.sizes[:2])
    return y, LayerNormResiduals(xhat, rstd, scale)


def layer_norm_vjp(on: Launcher, residuals: LayerNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    cut, dtype = rows_of(dy), dy.dtype
    blocks = blocks_for(cut.rows, WARPS * ROWS_PER_WARP)
    dx, parts = on.like(dy), [on.empty((blocks, cut.channels), dtype) for _ in range(2)]
    kernel = on.kernel("layer_norm", "layer_norm_vjp", dtype)
    arguments = (*map(contiguous, (*residuals, dy)), dx, *parts)
    launch(kernel, blocks, LANES * WARPS, *arguments, *cut.sizes[:2])
    dscale, dbias = (column_sum(on, part) for part in parts)
    return dx, dscale, dbias
