"""The losses: no overflow, log K, the normal density."""

from __future__ import annotations

import numpy as np

from s5ref.nn.loss import cross_entropy, gaussian_nll, log_softmax, log_softmax_vjp
from s5ref.verification.rounding.budget import accumulated

EPS = float(np.finfo(np.float64).eps)


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
