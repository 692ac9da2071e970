"""The embedding of tokens on a device: kernels/embed.cu. The pair is `s5ref.nn.dense.embed`'s."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous, launch
from s5ref.gpu.rows import LANES, SLAB, Rows, column_sum, rows_of, total
from s5ref.nn.dense import EmbedResiduals

MAX_TOKENS = 192  # of a block: for 32 channels in float64 they fill 48 KiB, the shared memory of every GPU
SLABS = 512  # at most; a slab has at least 4 V rows, because it writes sums for all V tokens


def embed(on: Launcher, tokens: Array, kernel: Array, bias: Array) -> tuple[Array, EmbedResiduals]:
    """W[tokens] + b. tokens (N, L) integers below V, kernel (V, H), bias (H,); returns (N, L, H)."""
    V, H = kernel.shape
    y = on.empty((*tokens.shape, H), kernel.dtype)
    cut, lookup = rows_of(y), on.kernel("embed", "embed", kernel.dtype)
    arrays = map(contiguous, (tokens.astype(np.int64, copy=False), kernel, bias))
    cut.launch(lookup, *arrays, y, np.int64(V), *cut.sizes)
    return y, EmbedResiduals(tokens, kernel)


def embed_vjp(on: Launcher, residuals: EmbedResiduals, dy: Array) -> tuple[Array, Array]:
    """(dkernel, dbias): Σ dy by token, and over all of them."""
    tokens, kernel = residuals
    V, H = kernel.shape
    cut, tokens_per_block = vocabulary_cut(int(tokens.size), V, H)
    partial = on.empty((cut.slabs, V, H), dy.dtype)
    blocks = cut.slabs * -(-V // tokens_per_block) * -(-H // LANES)
    by_token = on.kernel("embed", "embed_vjp", dy.dtype, {"TOKENS": tokens_per_block})
    arrays = map(contiguous, (tokens.astype(np.int64, copy=False), dy))
    launch(by_token, blocks, LANES, *arrays, partial, np.int32(V), *cut.sizes)
    dkernel = total(on, partial.reshape(cut.slabs, V * H)).reshape(V, H)
    return dkernel, column_sum(on, dkernel)


def vocabulary_cut(rows: int, V: int, H: int) -> tuple[Rows, int]:
    """The slabs of rows, and for how many tokens a block keeps sums."""
    tokens_per_block = min(MAX_TOKENS, -(-V // LANES) * LANES)
    return Rows(rows, H, max(SLAB, 4 * V, -(-rows // SLABS))), tokens_per_block
