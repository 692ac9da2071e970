"""Equal values in TF32: the bound lies where emulated products put it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s5ref import NUMPY
from s5ref.arrays import Array, sum_to_channels
from s5ref.bench.agree import BOUND, TF32_BOUND, disagreement
from s5ref.bench.case import recipe_case
from s5ref.bench.models import gradients
from s5ref.engine import Pair
from s5ref.nn.dense import LinearResiduals, linear, linear_vjp


def cut(x: Array) -> Array:
    """What a tensor core that cuts off reads of a float32: sign, exponent, ten bits of the fraction."""
    return (np.ascontiguousarray(x).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def cut_linear(x: Array, W: Array, bias: Array | None = None) -> tuple[Array, LinearResiduals]:
    return linear(cut(x), cut(W), bias)[0], LinearResiduals(x, W, bias is not None)


def cut_linear_vjp(residuals: LinearResiduals, dy: Array) -> tuple[Array, Array, Array | None]:
    x, W, has_bias = residuals
    dx, dW, _ = linear_vjp(LinearResiduals(cut(x), cut(W), False), cut(dy))
    return dx, dW, sum_to_channels(dy) if has_bias else None


def test_the_bound_is_five_times_what_cutting_the_factors_does() -> None:
    """And that of float32 would refuse it."""
    case = replace(recipe_case("listops"), batch=4, length=256)
    tf32 = replace(NUMPY, linear=Pair(cut_linear, cut_linear_vjp))
    got, want = gradients(tf32, case), gradients(NUMPY, case)
    assert disagreement(got, want, TF32_BOUND / 5) == ""
    assert disagreement(got, want, BOUND) != ""


def test_the_emulation_keeps_eleven_bits() -> None:
    x = np.array([1.0, 1 + 2**-10, 1 + 2**-11, -3.0], np.float32)
    np.testing.assert_array_equal(cut(x), np.array([1.0, 1 + 2**-10, 1.0, -3.0], np.float32))
