"""BatchNorm's biased variance and momentum, LayerNorm's ε."""

from __future__ import annotations

import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import Engine
from s5ref.nn.norm import Running
from s5ref.verification.rounding.budget import ratio

EPS = float(np.finfo(np.float64).eps)


by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@by_engine
def test_batch_norm_keeps_the_biased_variance_and_upstreams_momentum(engine: Engine) -> None:
    """PyTorch's running variance would be 8/7 of it here, and its momentum the complement."""
    x = np.arange(8.0).reshape(2, 4, 1)
    one, running = np.ones(1), Running(np.array([2.0]), np.array([4.0]))
    (y, after), _ = engine.batch_norm.value(x, one, 0 * one, running, 0.75, True, None)
    assert after.mean[0] == 0.75 * 2 + 0.25 * 3.5
    assert after.var[0] == 0.75 * 4 + 0.25 * 5.25
    assert ratio(y[0, 0, 0], -3.5 / np.sqrt(5.25 + 1e-5), 8 * 3.5, EPS) <= 1


@by_engine
def test_layer_norm_eps(engine: Engine) -> None:
    """1e-6, not 1e-5: at a standard deviation of 1e-3 that is a third of the result."""
    x = np.array([[[-1e-3, 1e-3]]])
    y, _ = engine.layer_norm.value(x, np.ones(2), np.zeros(2))
    assert ratio(y[0, 0, 1], 1e-3 / np.sqrt(2e-6), 8, EPS) <= 1
