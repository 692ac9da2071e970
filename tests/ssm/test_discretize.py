"""First-order hold: against an ODE solver, in pieces, and where it meets zero-order hold."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from s5ref import S5Error, first_order_hold, first_order_hold_vjp, sequential_scan, zoh
from s5ref.verification.proofs.independent.continuous import integrate

RNG = np.random.default_rng(7)
LAMBDA = np.array([-0.5 + 2j, -3.0 + 0.1j, -0.01 - 8j, -40.0 + 0j, 0j])
TIMES = np.array([0.0, 0.3, 0.31, 1.0, 1.0 + 2**-20, 2.5, 3.0])
INPUTS = RNG.standard_normal(len(TIMES)) + 1j * RNG.standard_normal(len(TIMES))


def driven(times: Any, u: Any, x0: Any) -> Any:
    """The states (L, P) at ``times`` from x0 at the first of them."""
    Delta = np.broadcast_to(np.diff(times)[None, :, None], (1, len(times) - 1, len(LAMBDA)))
    (Lambda_bar, before, now), _ = first_order_hold(LAMBDA, Delta)
    elements = before * u[None, :-1, None] + now * u[None, 1:, None]
    (x, _), _ = sequential_scan(Lambda_bar, elements, x0[None])
    return np.concatenate([x0[None], x[0]])


def test_exact_for_inputs_that_run_linearly_between_samples() -> None:
    """The independent solver takes small steps in every interval; real systems of twice the size."""
    x0 = np.array([1, 1j, -1, 0.5, 0])
    got = driven(TIMES, INPUTS, x0)
    for p, (Lambda, start) in enumerate(zip(LAMBDA, x0, strict=True)):
        A = np.array([[Lambda.real, -Lambda.imag], [Lambda.imag, Lambda.real]])
        x = np.array([start.real, start.imag])
        for k in range(len(TIMES) - 1):
            t, u = TIMES[k : k + 2], INPUTS[k : k + 2]

            def line(at: float, t: Any = t, u: Any = u) -> Any:
                value = u[0] + (u[1] - u[0]) * (at - t[0]) / (t[1] - t[0])
                return np.array([value.real, value.imag])

            x = integrate(A, np.eye(2), line, t, x).states[-1]
            assert abs(got[k + 1, p] - complex(*x)) < 1e-11, (Lambda, k)


@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_subdividing_an_interval_changes_nothing(pieces: int) -> None:
    fine = np.unique(np.concatenate([np.linspace(a, b, pieces + 1) for a, b in pairwise(TIMES)]))
    u = np.interp(fine, TIMES, INPUTS.real) + 1j * np.interp(fine, TIMES, INPUTS.imag)
    x0 = np.ones(len(LAMBDA), complex)
    at = np.searchsorted(fine, TIMES)
    np.testing.assert_allclose(driven(fine, u, x0)[at], driven(TIMES, INPUTS, x0), rtol=1e-12, atol=1e-13)


def test_a_constant_input_is_zero_order_hold() -> None:
    for Delta in (1e-9, 0.1, 0.7, 30.0):
        (Lambda_bar, before, now), _ = first_order_hold(LAMBDA, np.full(5, Delta))
        (held, gain), _ = zoh(LAMBDA, np.full(5, Delta))
        np.testing.assert_array_equal(Lambda_bar, held)
        assert (np.abs(before + now - gain) <= 8 * np.finfo(float).eps * np.abs(gain)).all()


def test_no_time_no_change() -> None:
    (Lambda_bar, before, now), residuals = first_order_hold(LAMBDA, np.zeros(5))
    assert (Lambda_bar == 1).all()
    assert not before.any()
    assert not now.any()
    dLambda, dDelta = first_order_hold_vjp(residuals, (0j * LAMBDA, np.ones(5), np.ones(5)))
    assert not dLambda.any()
    np.testing.assert_array_equal(dDelta, 1)  # ½ of each gain


def test_an_integrator_takes_the_trapezoidal_rule() -> None:
    (Lambda_bar, before, now), _ = first_order_hold(np.zeros(1, complex), np.array(0.25))
    assert (Lambda_bar[0], before[0], now[0]) == (1, 0.125, 0.125)


def test_strong_decay_follows_the_input() -> None:
    """z = −10⁴: gain_now → −1/Λ, gain_before → 1/(Λ²Δ). φ₁ − φ₂ would lose four digits of it."""
    Lambda = np.array([-1e4 + 0j], np.complex64)
    (_, before, now), _ = first_order_hold(Lambda, np.ones(1, np.float32))
    np.testing.assert_allclose(now, (1 - 1e-4) / 1e4, rtol=1e-6)
    np.testing.assert_allclose(before, 1e-8, rtol=1e-6)


def test_refused() -> None:
    for Lambda, Delta in ((LAMBDA, -np.ones(5)), (LAMBDA, np.ones(4)), (LAMBDA.real, np.ones(5))):
        with pytest.raises(S5Error, match="first_order_hold"):
            first_order_hold(Lambda, Delta)
