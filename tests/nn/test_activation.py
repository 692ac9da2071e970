"""The two GELUs and the sigmoid: their tails, and that they are two functions."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import Engine
from s5ref.nn.activation import gelu_erf, gelu_tanh, sigmoid
from s5ref.verification.rounding import bounds
from s5ref.verification.rounding.budget import ratio

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@by_engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_tanh_keeps_its_tail(engine: Engine, dtype: str) -> None:
    """½x(1 + tanh) in float32 gives −0 at −6 where −8.4e-11 stands; the sigmoid form does not."""
    x = np.array([[[-6.0, -5.0, -1.0, 0.0, 3.0]]]).astype(dtype)
    mp = mpmath.mp.clone()
    mp.dps = 40
    c = mp.sqrt(2 / mp.pi)
    want = np.array(
        [
            float(v / 2 * (1 + mp.tanh(c * (v + mp.mpf("0.044715") * v**3))))
            for v in map(mp.mpf, x[0, 0].tolist())
        ]
    )
    limit = bounds.gelu_tanh(x.astype(np.float64), np.ones(x.shape))["y"]
    assert ratio(engine.gelu_tanh.value(x)[0][0, 0], want, limit[0, 0], float(np.finfo(dtype).eps)) <= 1
    assert -8.5e-11 < want[0] < -8.3e-11


def test_the_two_gelus_are_not_roundings_of_each_other() -> None:
    x = np.array([2.0], np.float32)
    limit = bounds.gelu_erf(x.astype(np.float64), np.ones(1))["y"]
    assert ratio(gelu_tanh(x)[0], gelu_erf(x)[0], limit, float(np.finfo(np.float32).eps)) > 50


@by_engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_finite_for_any_finite_number(engine: Engine, dtype: str) -> None:
    largest = np.finfo(dtype).max
    x = np.array([[[-largest, -1e20, -100, -0.0, 100, 1e20, largest]]]).astype(dtype)
    ones = np.ones_like(x)
    for pair in (engine.gelu_tanh, engine.gelu_erf):
        with np.errstate(over="ignore", under="ignore"):
            y, residuals = pair.value(x)
            d = pair.vjp(residuals, ones)
        np.testing.assert_array_equal(y[0, 0, [0, 1, 5, 6]], [0, 0, x[0, 0, 5], x[0, 0, 6]])
        np.testing.assert_array_equal(d[0, 0, [0, 1, 5, 6]], [0, 0, 1, 1])
    np.testing.assert_array_equal(sigmoid(x)[0, 0, [0, 3, 6]], np.array([0, 0.5, 1], dtype))
