"""The sigmoid of compiled loops against a wider precision. Its bound is part of the budget of GELU and
GLU."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.cpu.compile import compiled
from s5ref.cpu.exp import sigmoid
from s5ref.random import generator

ULPS = 3  # e⁻ˣ, one addition and one division, each within one ulp


@compiled
def _sigmoid(lo, hi, x, y, one):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        y[i] = sigmoid(x[i], one)


@pytest.mark.parametrize(
    ("dtype", "wide", "smallest"), [(np.float32, np.float64, -104.0), (np.float64, np.longdouble, -746.0)]
)
def test_sigmoid_is_accurate_in_ulps_down_to_the_denormals(dtype: type, wide: type, smallest: float) -> None:
    if np.finfo(wide).eps >= np.finfo(dtype).eps:
        pytest.skip("longdouble is not wider than float64 here")
    rng = generator("test", "sigmoid")
    edges = [0.0, -0.0, 1e-30, -1e-30, 20.0, 40.0, 100.0]
    spread: list[Array] = [rng.uniform(smallest, 40, 200_000), rng.standard_normal(100_000), np.array(edges)]
    x: Array = np.concatenate(spread).astype(dtype)
    y = np.empty_like(x)
    _sigmoid(0, x.size, x, y, dtype(1))
    small = np.exp(-np.abs(x.astype(wide)))
    want = np.where(x >= 0, wide(1), small) / (1 + small)
    ulps = np.abs(y.astype(wide) - want) / np.spacing(want.astype(dtype)).astype(wide)
    assert ulps.max() <= ULPS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_far_out_is_zero_or_one(dtype: type) -> None:
    x: Array = np.array([-1e30, 1e30, -np.inf, np.inf, np.nan], dtype)
    y = np.empty_like(x)
    _sigmoid(0, x.size, x, y, dtype(1))
    assert y[0] == y[2] == 0
    assert y[1] == y[3] == 1
    assert np.isnan(y[4])
