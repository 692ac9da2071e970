"""φ₁, φ₁′ and the discretisations against 50-digit arithmetic, and at the extremes of Δ."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.ssm.discretize import bilinear, bilinear_vjp, zoh, zoh_vjp
from s5ref.ssm.hippo import state_matrix
from s5ref.ssm.phi import phi1, phi1_prime
from s5ref.verification.rounding import discretization_bounds as limits
from s5ref.verification.rounding.budget import cast, ratio, wider
from s5ref.verification.selfcheck.exact import normal_cdf, series

mpmath.mp.dps = 50


def mp_phi1(z: complex) -> Any:
    z = mpmath.mpc(z)
    return mpmath.expm1(z) / z if z != 0 else mpmath.mpf(1)


def mp_phi1_prime(z: complex) -> Any:
    z = mpmath.mpc(z)
    if abs(z) < mpmath.mpf(10) ** -15:
        return mpmath.mpf(1) / 2 + z / 3
    return (mpmath.exp(z) * (z - 1) + 1) / z**2


@given(
    size=st.floats(-12, 2.7),
    angle=st.floats(-np.pi, np.pi),
    dtype=st.sampled_from(["complex64", "complex128"]),
)
@settings(max_examples=300)
def test_within_the_promised_error_everywhere(size: float, angle: float, dtype: str) -> None:
    z = np.array([10.0**size * np.exp(1j * angle)]).astype(dtype)
    if z[0].real > 80:
        z = -z
    eps = float(np.finfo(dtype).eps)
    at = z.astype(np.complex128)
    assert ratio(phi1(z)[0], complex(mp_phi1(complex(z[0]))), limits.phi1(at)[0], eps) <= 1
    assert ratio(phi1_prime(z)[0], complex(mp_phi1_prime(complex(z[0]))), limits.phi1_prime(at)[0], eps) <= 1


@pytest.mark.parametrize("z", [0, 1e-9 + 1e-9j, -0.5 + 3j, 2j * np.pi, -2.09 + 7.46j, -30 + 5j])
def test_the_fixed_point_series_equals_the_second_opinion(z: complex) -> None:
    for prime, second in ((False, mp_phi1), (True, mp_phi1_prime)):
        want = complex(second(z))
        assert abs(series(complex(z), prime) - want) <= np.finfo(np.float64).eps * abs(want)


@pytest.mark.parametrize("x", [0.0, 1e-20, -0.3, 1.0, -5.5, 7.9])
def test_the_fixed_point_normal_distribution_equals_the_second_opinion(x: float) -> None:
    want = float(mpmath.ncdf(mpmath.mpf(x)))
    assert abs(normal_cdf(x) - want) <= np.finfo(np.float64).eps * want


def test_at_zero_and_on_reals() -> None:
    assert phi1(np.zeros(1))[0] == 1
    assert phi1_prime(np.zeros(1))[0] == 0.5
    x = np.array([-3.0, -1.0, -1e-8, 1e-8, 1.0, 2.0])
    want = np.array([float(mp_phi1(v).real) for v in x])
    assert ratio(phi1(x), want, limits.phi1(x), float(np.finfo(float).eps)) <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [16, 128])
def test_discretisations_of_hippo_within_their_bounds(dtype: str, block: int) -> None:
    """Δ from 1e-9 to 0.1, where (exp(ΛΔ) − 1)/Λ loses half its digits."""
    Lambda = state_matrix(block, 1, True).Lambda
    wide = wider(dtype)
    for Delta in np.logspace(-9, -1, 9):
        args = cast((Lambda, np.full(len(Lambda), Delta)), dtype)
        for value, bound in ((zoh, limits.zoh), (bilinear, limits.bilinear)):
            got, _ = value(*args)
            want, _ = value(*cast(args, wide))
            limit = bound(*cast(args, np.float64))
            itself = 2 if wide == np.dtype(dtype) else 1
            for i in range(2):
                assert ratio(got[i], want[i], itself * limit[str(i)], float(np.finfo(dtype).eps)) <= 1


def test_the_textbook_formula_would_fail_this() -> None:
    """So that the test above is known to be able to fail: (exp(ΛΔ) − 1)/Λ in complex64 at Δ = 1e-4."""
    Lambda, Delta = cast((state_matrix(16, 1, True).Lambda, np.full(8, 1e-4)), "float32")
    textbook = (np.exp(Lambda * Delta) - 1) / Lambda
    want = zoh(*cast((Lambda, Delta), "float64"))[0][1]
    assert (
        ratio(
            textbook, want, limits.zoh(*cast((Lambda, Delta), "float64"))["1"], float(np.finfo("float32").eps)
        )
        > 10
    )


@pytest.mark.parametrize("pair", [(zoh, zoh_vjp), (bilinear, bilinear_vjp)], ids=["zoh", "bilinear"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_finite_at_the_extremes(pair: Any, dtype: str) -> None:
    """Δ tiny and large, Λ → 0."""
    value, vjp = pair
    Lambda = np.array([0, 1e-30, -1e-12 + 1e-12j, -0.5 - 5215j, -0.5 + 0j])
    for Delta in (1e-12, 1e-4, 1.0, 100.0):
        args = cast((Lambda, np.full(5, Delta)), dtype)
        y, residuals = value(*args)
        d = vjp(residuals, tuple(np.ones_like(leaf) for leaf in y))
        assert all(np.isfinite(leaf).all() for leaf in (*y, *d))


def test_scalar_step_takes_the_precision_of_lambda_and_gets_a_scalar_cotangent() -> None:
    Lambda = np.array([-0.5 + 1j, -0.5 + 2j], np.complex64)
    (Lambda_bar, gain), residuals = zoh(Lambda, 0.1)  # type: ignore[arg-type]
    assert Lambda_bar.dtype == gain.dtype == np.complex64
    dLambda, dDelta = zoh_vjp(residuals, (Lambda_bar, gain))
    each = zoh_vjp(zoh(Lambda, np.full(2, 0.1, np.float32))[1], (Lambda_bar, gain))
    assert dDelta.shape == ()
    assert dDelta.dtype == np.float32
    np.testing.assert_array_equal(dLambda, each[0])
    assert dDelta == np.sum(each[1])
