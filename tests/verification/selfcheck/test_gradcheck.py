"""The gradient check itself: its accuracy on functions with known derivatives, and what it must catch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.verification.selfcheck.gradcheck import (
    adjoint_gap,
    along,
    derivative,
    inner,
    norm,
    random_like,
    relative,
)

WIDE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


@pytest.mark.parametrize(("wide", "accuracy"), [(True, 1e-12 if WIDE else 1e-10), (False, 1e-10)])
def test_derivative_along_a_complex_direction(wide: bool, accuracy: float) -> None:
    """f = Σ |z|² a + Re(z³): dz = 2 a z + conj(3 z²)."""
    z, a = np.array([1 + 2j, -0.5j]), np.array([0.3, 2.0])

    def f(at: dict[str, Any]) -> Any:
        return np.sum(np.abs(at["z"]) ** 2 * at["a"] + np.real(at["z"] ** 3))

    grad = {"z": 2 * a * z + np.conj(3 * z**2), "a": np.abs(z) ** 2}
    for seed in range(5):
        t = along(grad, seed)
        assert relative(inner(grad, t), derivative(f, {"z": z, "a": a}, t, wide)) <= accuracy
        conjugated = {"z": np.conj(grad["z"]), "a": grad["a"]}  # the other convention is not within rounding
        assert relative(inner(conjugated, t), derivative(f, {"z": z, "a": a}, t, wide)) > 1e-3


def test_directions_do_not_hide_the_gradient() -> None:
    grad = {"a": np.array([3.0]), "b": np.array([0.0, 1e-8])}
    for seed in range(20):
        t = along(grad, seed)
        assert norm(t) == pytest.approx(1)
        assert inner(grad, t) > 0.5 * norm(grad)


def test_a_severed_gradient_is_an_error_of_one() -> None:
    assert relative(0.0, 1e-30) == 1
    assert relative(0.0, 0.0) == 0
    zero = {"a": np.zeros(3)}
    t = along(zero, 0)
    assert relative(inner(zero, t), derivative(lambda at: np.sum(at["a"]), zero, t)) == 1


def test_adjoint_gap() -> None:
    A = random_like({"A": np.zeros((4, 3), complex)}, "matrix")["A"]
    t, d = random_like({"t": np.zeros(3, complex)}, 0), random_like({"d": np.zeros(4, complex)}, 0)
    eps = np.finfo(np.float64).eps
    assert adjoint_gap({"d": A @ t["t"]}, d, t, {"t": A.conj().T @ d["d"]}) <= 12 * eps
    assert adjoint_gap({"d": A @ t["t"]}, d, t, {"t": A.T @ d["d"]}) > 1e-3
