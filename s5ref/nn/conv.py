"""Convolution over images, and the largest value of every 2 × 2 square. Derivation: docs/derivations/conv.md.

Images are (M, H, W, C): any number M of them, rows, columns, channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Pair

SQUARE = 2  # rows and columns of what `max_pool2d` takes the largest of
_PIXELS = [  # where images (M, H, W, …) have the first pixels of all squares, the second ones, …
    (slice(None), slice(row, None, SQUARE), slice(column, None, SQUARE))
    for row in range(SQUARE)
    for column in range(SQUARE)
]


class Conv2dResiduals(NamedTuple):
    """Residuals of `conv2d`: those of the product, and what says where its rows come from."""

    product: Any
    image: tuple[int, ...]
    kernel: tuple[int, int, int, int]
    stride: int
    padding: int


def conv2d(
    x: Array, kernel: Array, bias: Array, stride: int, padding: int, product: Pair
) -> tuple[Array, Conv2dResiduals]:
    """y[m, r, c] = Σ_{i, j} x[m, r·stride + i − padding, c·stride + j − padding] K[i, j] + b; x is 0 outside.

    Parameters
    ----------
    x : (M, H, W, I)
    kernel : (h, w, I, O)
    bias : (O,)
    stride, padding : int
        The same for rows and columns.
    product : Pair
        x W + b, as `s5ref.nn.dense.linear`: the engine's.

    Returns
    -------
    y : (M, H′, W′, O)
        H′ = ⌊(H + 2·padding − h)/stride⌋ + 1, and W′ likewise.
    residuals : Conv2dResiduals
    """
    columns = patches(x, kernel.shape[:2], stride, padding)
    y, residuals = product.value(columns, kernel.reshape(-1, kernel.shape[-1]), bias)
    h, w, I, O = kernel.shape
    return y, Conv2dResiduals(residuals, tuple(x.shape), (h, w, I, O), stride, padding)


def conv2d_vjp(residuals: Conv2dResiduals, dy: Array, product: Pair) -> tuple[Array, Array, Array]:
    """(dx, dkernel, dbias): of the product; every patch adds its cotangent to the pixels that it is of."""
    of_product, image, kernel, stride, padding = residuals
    dcolumns, dkernel, dbias = product.vjp(of_product, dy)
    dx = patches_vjp(dcolumns, image, kernel[:2], stride, padding)
    return dx, dkernel.reshape(kernel), dbias


def patches(x: Array, size: tuple[int, int], stride: int, padding: int) -> Array:
    """The pixels that each pixel of a convolution reads: (M, H, W, I) → (M, H′, W′, h·w·I), 0 outside."""
    M, H, W, I = x.shape
    inside = (slice(None), slice(padding, padding + H), slice(padding, padding + W))
    padded = np.zeros_like(x, shape=(M, H + 2 * padding, W + 2 * padding, I))
    padded[inside] = x
    rows, columns = _places(x.shape, size, stride, padding)
    return np.concatenate([padded[:, r, c] for r in rows for c in columns], axis=-1)


def patches_vjp(d: Array, image: tuple[int, ...], size: tuple[int, int], stride: int, padding: int) -> Array:
    """dx (M, H, W, I): each pixel has the sum of the cotangents of its copies."""
    M, H, W, I = image
    padded = np.zeros_like(d, shape=(M, H + 2 * padding, W + 2 * padding, I))
    rows, columns = _places(image, size, stride, padding)
    for k, (r, c) in enumerate((r, c) for r in rows for c in columns):
        padded[:, r, c] += d[..., k * I : (k + 1) * I]
    return padded[:, padding : padding + H, padding : padding + W]


def _places(
    image: tuple[int, ...], size: tuple[int, int], stride: int, padding: int
) -> tuple[list[slice], list[slice]]:
    """For each row, and each column, of a kernel: those of the padded image that it meets."""

    def of_axis(pixels: int, taps: int) -> list[slice]:
        outputs = output_size(pixels, taps, stride, padding)
        return [slice(i, i + stride * (outputs - 1) + 1, stride) for i in range(taps)]

    return of_axis(image[1], size[0]), of_axis(image[2], size[1])


def output_size(pixels: int, taps: int, stride: int, padding: int) -> int:
    """⌊(pixels + 2·padding − taps)/stride⌋ + 1."""
    return (pixels + 2 * padding - taps) // stride + 1


class MaxPool2dResiduals(NamedTuple):
    """Residuals of `max_pool2d`: which pixel of its square, 0 … 3 row by row, each value is."""

    largest: Array


def max_pool2d(x: Array) -> tuple[Array, MaxPool2dResiduals]:
    """The largest value of each 2 × 2 square. x (M, H, W, C), H and W even; returns (M, H/2, W/2, C).

    Of equal pixels the first, row by row, has the cotangent.
    """
    squares = np.stack([x[place] for place in _PIXELS], axis=3)
    return np.max(squares, axis=3), MaxPool2dResiduals(np.argmax(squares, axis=3).astype(np.uint8))


def max_pool2d_vjp(residuals: MaxPool2dResiduals, dy: Array) -> Array:
    """dx: dy at the pixel that was the largest, 0 at the other three."""
    M, rows, columns, C = dy.shape
    dx = np.zeros_like(dy, shape=(M, SQUARE * rows, SQUARE * columns, C))
    for k, place in enumerate(_PIXELS):
        dx[place] = np.where(residuals.largest == k, dy, np.zeros_like(dy[:1, :1, :1]))
    return dx


class ConvPoolResiduals(NamedTuple):
    """Residuals of `conv_pool`: its input, kernel and output, which pixel of its square each value is, how
    the kernel moves, and, where the vjp does not compute it again, what `conv2d` left.
    """

    x: Array
    kernel: Array
    y: Array
    largest: Array
    stride: int
    padding: int
    conv: Conv2dResiduals | None


def conv_pool(
    x: Array, kernel: Array, bias: Array, stride: int, padding: int, *, product: Pair
) -> tuple[Array, ConvPoolResiduals]:
    """max(0, the largest of each 2 × 2 square of `conv2d`): (M, H, W, I) → (M, H′/2, W′/2, O).

    Arguments as of `conv2d`, the product being bound where an engine is made; H′ and W′ are even. The
    rectifier comes last: it commutes with the maximum.
    """
    z, of_conv = conv2d(x, kernel, bias, stride, padding, product)
    largest, (which,) = max_pool2d(z)
    y = np.maximum(largest, np.zeros_like(largest[:1, :1, :1]))
    return y, ConvPoolResiduals(x, kernel, y, which, stride, padding, of_conv)


def conv_pool_vjp(
    residuals: ConvPoolResiduals, dy: Array, of_x: bool = True, *, product: Pair
) -> tuple[Array | None, Array, Array]:
    """(dx, or None where ``of_x`` is false, dkernel, dbias). Where y is 0 its cotangent goes nowhere."""
    assert residuals.conv is not None
    dlargest = np.where(residuals.y > 0, dy, np.zeros_like(dy[:1, :1, :1]))
    dz = max_pool2d_vjp(MaxPool2dResiduals(residuals.largest), dlargest)
    dx, dkernel, dbias = conv2d_vjp(residuals.conv, dz, product)
    return dx if of_x else None, dkernel, dbias
