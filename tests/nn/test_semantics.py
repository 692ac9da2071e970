"""What the building blocks mean: the conventions in which implementations differ."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import Engine
from s5ref.nn.activation import gelu_erf, gelu_tanh, sigmoid
from s5ref.nn.dense import embed, linear
from s5ref.nn.dropout import dropout_mask
from s5ref.nn.loss import cross_entropy, gaussian_nll, log_softmax, log_softmax_vjp
from s5ref.nn.norm import Running
from s5ref.nn.pool import pool_last, pool_mean
from s5ref.random import generator
from s5ref.verification import bounds
from s5ref.verification.budget import accumulated, ratio

EPS = float(np.finfo(np.float64).eps)
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


def test_embedding_is_the_product_with_one_hot_rows() -> None:
    rng = generator("embed")
    kernel, bias = rng.standard_normal((5, 3)), rng.standard_normal(3)
    tokens = np.array([[0, 4, 4], [2, 1, 0]])
    np.testing.assert_array_equal(embed(tokens, kernel, bias)[0], linear(np.eye(5)[tokens], kernel, bias)[0])


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


def test_dropout_mask_is_constant_over_time_keyed_and_unbiased() -> None:
    like = np.zeros(1, np.float32)
    mask = dropout_mask((3, 7, 0, 1), 400, 50, 0.3, like)
    assert mask.shape == (400, 1, 50)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.7)}
    kept = (mask > 0).mean()
    assert abs(kept - 0.7) <= 4 * (0.7 * 0.3 / mask.size) ** 0.5
    np.testing.assert_array_equal(mask, dropout_mask((3, 7, 0, 1), 400, 50, 0.3, like))
    for key in ((3, 8, 0, 1), (4, 7, 0, 1), (3, 7, 1, 1), (3, 7, 0, 0)):
        assert not np.array_equal(mask, dropout_mask(key, 400, 50, 0.3, like))


def test_log_softmax_does_not_overflow_and_sums_to_one() -> None:
    z = np.array([[1e4, 0.0, -1e4], [3.0, 3.0, 3.0]])
    y, residuals = log_softmax(z)
    np.testing.assert_array_equal(y[0], [0, -1e4, -2e4])
    assert np.max(np.abs(np.sum(np.exp(y), axis=-1) - 1)) <= accumulated(3) * 4 * EPS
    assert (
        np.max(np.abs(np.sum(log_softmax_vjp(residuals, np.array([[0, 0, 1.0], [1.0, 0, 0]])), axis=-1)))
        <= 16 * EPS
    )


def test_cross_entropy_of_equal_logits_is_log_k() -> None:
    y, _ = log_softmax(np.zeros((4, 7)))
    assert abs(cross_entropy(y, np.array([0, 1, 2, 6]))[0] - np.log(7)) <= 8 * EPS


def test_gaussian_nll_is_the_density() -> None:
    got, _ = gaussian_nll(np.array([[1.0]]), np.array([[4.0]]), np.array([[2.0]]))
    assert abs(got - (0.5 * np.log(2 * np.pi * 4) + 1 / 8)) <= 8 * EPS


def test_pooling_divides_by_the_length_and_ignores_what_stands_at_padding() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    x[1, 1:] = 1e300
    lengths = np.array([3, 1])
    np.testing.assert_array_equal(pool_mean(x, lengths)[0], [[2, 3], [6, 7]])
    np.testing.assert_array_equal(pool_last(x, lengths)[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(pool_last(x[:1], None)[0], [[4, 5]])
