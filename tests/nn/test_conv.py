"""Convolution and pooling against plain loops; ties, padding and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import SEQUENTIAL
from s5ref.engine import as_engine
from s5ref.nn.conv import conv2d, conv2d_vjp, max_pool2d, max_pool2d_vjp, output_size

SHAPES = [
    ((2, 6, 4, 1), (5, 5), 3, 1, 2),
    ((2, 12, 12, 3), (3, 3), 2, 2, 1),
    ((1, 7, 9, 2), (2, 4), 2, 3, 0),
    ((3, 1, 1, 2), (1, 1), 1, 1, 0),
]


def plain(x: Any, kernel: Any, bias: Any, stride: int, padding: int) -> Any:
    (M, H, W, _), (h, w, _, O) = x.shape, kernel.shape
    y = np.zeros((M, output_size(H, h, stride, padding), output_size(W, w, stride, padding), O)) + bias
    for m, r, c, o in np.ndindex(*y.shape):
        for i, j in np.ndindex(h, w):
            at, by = r * stride + i - padding, c * stride + j - padding
            if 0 <= at < H and 0 <= by < W:
                y[m, r, c, o] += np.sum(x[m, at, by] * kernel[i, j, :, o])
    return y


@pytest.mark.parametrize(("images", "size", "outputs", "stride", "padding"), SHAPES)
def test_it_is_the_sum_over_what_the_kernel_lies_on(
    images: tuple[int, ...], size: tuple[int, int], outputs: int, stride: int, padding: int
) -> None:
    rng = np.random.default_rng(0)
    x, kernel, bias = (
        rng.normal(size=images),
        rng.normal(size=(*size, images[3], outputs)),
        rng.normal(size=outputs),
    )
    y, residuals = conv2d(x, kernel, bias, stride, padding, SEQUENTIAL.linear)
    np.testing.assert_allclose(y, plain(x, kernel, bias, stride, padding), atol=1e-13)
    dy = rng.normal(size=y.shape)
    dx, dkernel, dbias = conv2d_vjp(residuals, dy, SEQUENTIAL.linear)
    assert np.isclose(np.sum(dy * (y - bias)), np.sum(dx * x))  # bilinear in x and the kernel
    assert np.isclose(np.sum(dy * (y - bias)), np.sum(dkernel * kernel))
    np.testing.assert_allclose(dbias, dy.sum((0, 1, 2)))


def test_the_first_of_equal_pixels_has_the_cotangent() -> None:
    x = np.array([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 2.0], [3.0, 3.0]]])[..., None]
    y, residuals = max_pool2d(x)
    assert y.ravel().tolist() == [1, 3]
    dx = max_pool2d_vjp(residuals, np.array([5.0, 7.0]).reshape(y.shape))
    assert dx.reshape(2, 4).tolist() == [[5, 0, 0, 0], [0, 0, 7, 0]]


@pytest.mark.parametrize("engine", ["sequential", "numba"])
def test_below_zero_nothing_passes_and_nan_is_not_hidden(engine: str) -> None:
    pair = as_engine(engine).conv_pool
    x, one = np.zeros((2, 4, 4, 1), "float32"), np.ones((1, 1, 1, 1), "float32")
    y, residuals = pair.value(x, one, -one[0, 0, 0], 1, 0)
    assert not y.any()
    dx, dkernel, dbias = pair.vjp(residuals, np.ones_like(y))
    assert [d.any() for d in (dx, dkernel, dbias)] == [False] * 3
    assert pair.vjp(residuals, np.ones_like(y), False)[0] is None
    for pixel in np.ndindex(2, 2):
        x[0][pixel] = np.nan
        y, _ = pair.value(x, one, -one[0, 0, 0], 1, 0)
        assert np.isnan(y[0, 0, 0, 0])
        assert np.count_nonzero(y) == 1  # the NaN
        x[0][pixel] = 0
