"""A convolution, its rectifier and the largest of 2 × 2, image by image in the cache. Stands in for
s5ref.nn.conv.conv_pool.

No pixel is copied into patches: for one row of the output and one row i of the kernel, the pixels that are
read are a matrix whose rows overlap in memory, so that a convolution is h·H′ products of tiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.compile import REAL, compiled, device_function, writeable
from s5ref.cpu.linear import in_order
from s5ref.cpu.parallel import run
from s5ref.cpu.simd import tile_product, tile_product_plus
from s5ref.cpu.tile import clear
from s5ref.engines import SEQUENTIAL
from s5ref.nn import conv
from s5ref.nn.conv import SQUARE, ConvPoolResiduals, output_size


class _Backward(NamedTuple):
    """What `_backward` reads of the images, of the kernel (h, O, w·I) and how it moves; and works in."""

    read: Any
    y: Any
    largest: Any
    dy: Any
    kernel: Any
    stride: int
    dz: Any
    dread: Any


GROUPS = 16  # of images, whose parts of the cotangent of the kernel are summed in order


def conv_pool(
    x: Array, kernel: Array, bias: Array, stride: int, padding: int
) -> tuple[Array, ConvPoolResiduals]:
    """max(0, the largest of each 2 × 2 square of the convolution): (M, H, W, I) → (M, H′/2, W′/2, O). Other
    dtypes than float32 or float64, or more than one, run the reference.
    """
    kinds = {x.dtype, kernel.dtype, bias.dtype}
    if len(kinds) > 1 or not kinds <= set(REAL) or not x.size:
        return conv.conv_pool(x, kernel, bias, stride, padding, product=SEQUENTIAL.linear)
    read = _read_pixels(_padded(x, padding), kernel.shape, stride)
    M, rows, columns = read.shape[:3]
    O = kernel.shape[-1]
    y = memory.empty((M, rows // SQUARE, columns // SQUARE, O), x.dtype)
    largest, groups = np.empty(y.shape, np.uint8), min(GROUPS, M)
    z = memory.empty((groups, rows, columns, O), x.dtype)
    run(_forward, groups, read, _by_row(kernel), writeable(bias, x.dtype)[None], z, y, largest)
    return y, ConvPoolResiduals(x, kernel, y, largest, stride, padding, None)


def conv_pool_vjp(
    residuals: ConvPoolResiduals, dy: Array, of_x: bool = True
) -> tuple[Array | None, Array, Array]:
    """(dx, or None where ``of_x`` is false, dkernel, dbias)."""
    x, kernel, y, largest, stride, padding, of_conv = residuals
    if of_conv is not None:
        return conv.conv_pool_vjp(residuals, dy, of_x, product=SEQUENTIAL.linear)
    M, H, W, I = x.shape
    h, w, _, O = kernel.shape
    padded = _padded(x, padding)
    read = _read_pixels(padded, kernel.shape, stride)
    groups = min(GROUPS, M)
    dz = memory.empty((groups, *read.shape[1:3], O), x.dtype)
    dkernel, dbias = np.zeros((groups, h, w * I, O), x.dtype), np.zeros((groups, 2, O), x.dtype)
    dpadded = np.zeros(padded.shape if of_x else (0, 1, 1, 1), x.dtype)
    dread = memory.empty((groups, read.shape[2], w * I), x.dtype)
    transposed = np.ascontiguousarray(_by_row(kernel).transpose(0, 2, 1))
    of = writeable(y, x.dtype), largest, writeable(dy, x.dtype)
    run(_backward, groups, _Backward(read, *of, transposed, stride, dz, dread), dpadded, dkernel, dbias)
    dx = dpadded[:, padding : padding + H, padding : padding + W] if of_x else None
    return dx, in_order(dkernel).reshape(kernel.shape), in_order(dbias)[0]


def _padded(x: Array, padding: int) -> Array:
    M, H, W, I = x.shape
    padded = np.zeros((M, H + 2 * padding, W + 2 * padding, I), x.dtype)
    padded[:, padding : padding + H, padding : padding + W] = x
    return padded


def _by_row(kernel: Array) -> Array:
    """(h, w, I, O) → (h, w·I, O)."""
    h, w, I, O = kernel.shape
    return writeable(kernel, kernel.dtype).reshape(h, w * I, O)


def _read_pixels(padded: Array, kernel: tuple[int, ...], stride: int) -> Array:
    """(M, H′, W′, h, w·I): what each output pixel reads, as a view of the padded images (M, H, W, I)."""
    (M, H, W, I), (h, w, *_) = padded.shape, kernel
    rows, columns = output_size(H, h, stride, 0), output_size(W, w, stride, 0)
    image, row, pixel, number = padded.strides
    shape, strides = (M, rows, columns, h, w * I), (image, stride * row, stride * pixel, row, number)
    return np.lib.stride_tricks.as_strided(padded, shape, strides)


@compiled
def _forward(lo, hi, read, kernel, bias, z, y, largest):  # type: ignore[no-untyped-def]
    """y of the images of groups lo to hi, and which pixel of its square each is."""
    for g in range(lo, hi):
        for m in range(len(read) * g // len(z), len(read) * (g + 1) // len(z)):
            for r in range(read.shape[1]):
                tile_product_plus(read[m, r, :, 0], kernel[0], bias, z[g, r])
                for i in range(1, read.shape[3]):
                    tile_product_plus(read[m, r, :, i], kernel[i], z[g, r], z[g, r])
            _take_largest(z[g], y[m], largest[m])


@device_function
def _take_largest(z, y, largest):  # type: ignore[no-untyped-def]
    """z (H, W, O) → y, largest (H/2, W/2, O)."""
    for r in range(y.shape[0]):
        for c in range(y.shape[1]):
            for o in range(y.shape[2]):
                best, which = z[2 * r, 2 * c, o], 0
                for k in range(1, 4):
                    value = z[2 * r + k // 2, 2 * c + k % 2, o]
                    if value > best or value != value:  # NaN stays
                        best, which = value, k
                y[r, c, o] = 0
                if best > 0 or best != best:
                    y[r, c, o] = best
                largest[r, c, o] = which


@compiled
def _backward(lo, hi, given, dpadded, dkernel, dbias):  # type: ignore[no-untyped-def]
    """The parts of dkernel and dbias of groups lo to hi, and dpadded of their images, if it has some."""
    read, y, largest, dy, kernel, stride, dz, dread = given
    for g in range(lo, hi):
        for m in range(len(read) * g // len(dz), len(read) * (g + 1) // len(dz)):
            clear(dz[g])
            clear(dbias[g, 1])
            _give_largest(y[m], largest[m], dy[m], dz[g], dbias[g, 1])
            for o in range(dbias.shape[2]):  # of an image first: the sum rounds less
                dbias[g, 0, o] += dbias[g, 1, o]
            for r in range(read.shape[1]):
                for i in range(read.shape[3]):
                    tile_product_plus(read[m, r, :, i].T, dz[g, r], dkernel[g, i], dkernel[g, i])
                    if len(dpadded):
                        tile_product(dz[g, r], kernel[i], dread[g])
                        _add_back(dread[g], dpadded[m, r * stride + i].reshape(-1), stride * dpadded.shape[3])


@device_function
def _give_largest(y, largest, dy, dz, dbias):  # type: ignore[no-untyped-def]
    """dz (H, W, O), which is 0, has dy where y > 0, at the pixel that was the largest; dbias its sums."""
    for r in range(y.shape[0]):
        for c in range(y.shape[1]):
            for o in range(y.shape[2]):
                if y[r, c, o] > 0:
                    k = largest[r, c, o]
                    dz[2 * r + k // 2, 2 * c + k % 2, o] = dy[r, c, o]
                    dbias[o] += dy[r, c, o]


@device_function
def _add_back(dread, drow, step):  # type: ignore[no-untyped-def]
    """drow[c·step + k] += dread[c, k]: one row of pixels, each with the cotangents of all that read it."""
    for c in range(dread.shape[0]):
        for k in range(dread.shape[1]):
            drow[c * step + k] += dread[c, k]
