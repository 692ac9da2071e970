"""φ₁, φ₂, their derivatives and the discretisations against 50-digit arithmetic, and at the extremes of Δ."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.ssm.discretize import (
    bilinear,
    bilinear_vjp,
    first_order_hold,
    first_order_hold_vjp,
    zoh,
    zoh_vjp,
)
from s5ref.ssm.hippo import state_matrix
from s5ref.ssm.phi import TERMS, Entire, phi1, phi1_prime, phi1_second, phi2, phi2_prime, series
from s5ref.verification.rounding import discretization_bounds as limits
from s5ref.verification.rounding.budget import cast, ratio, wider
from s5ref.verification.selfcheck.exact import FUNCTIONS, arguments, normal_cdf
from s5ref.verification.selfcheck.exact import series as exact_series

mpmath.mp.dps = 50


def mp_phi(z: complex, n: int, order: int) -> Any:
    """The derivative of φₙ, m!/(n + m)! ₁F₁(m + 1; n + m + 1; z) with m = ``order``."""
    factor = mpmath.fac(order) / mpmath.fac(n + order)
    return mpmath.hyp1f1(order + 1, n + order + 1, mpmath.mpc(z)) * factor


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
    for name, f, n, order in FUNCTIONS:
        limit = getattr(limits, f.name)(at)[0]
        assert ratio(f(z)[0], complex(mp_phi(complex(z[0]), n, order)), limit, eps) <= 1, name


@pytest.mark.parametrize("z", [0, 1e-9 + 1e-9j, -0.5 + 3j, 2j * np.pi, -2.09 + 7.46j, -30 + 5j])
def test_the_fixed_point_series_equals_the_second_opinion(z: complex) -> None:
    for _, _, n, order in FUNCTIONS:
        want = complex(mp_phi(z, n, order))
        assert abs(exact_series(complex(z), n, order) - want) <= np.finfo(np.float64).eps * abs(want)


IDENTITIES: dict[str, Any] = {
    "zφ₁ = eᶻ − 1": lambda z: (z * phi1(z), np.exp(z), -1),
    "zφ₂ = φ₁ − 1": lambda z: (z * phi2(z), phi1(z), -1),
    "zφ₁′ = eᶻ − φ₁": lambda z: (z * phi1_prime(z), np.exp(z), -phi1(z)),
    "zφ₁″ = eᶻ − 2φ₁′": lambda z: (z * phi1_second(z), np.exp(z), -2 * phi1_prime(z)),
    "zφ₂′ = φ₁′ − φ₂": lambda z: (z * phi2_prime(z), phi1_prime(z), -phi2(z)),
    "φ₁′ = φ₁ − φ₂": lambda z: (phi1_prime(z), phi1(z), -phi2(z)),
    "φ₁″ = φ₁′ − φ₂′": lambda z: (phi1_second(z), phi1_prime(z), -phi2_prime(z)),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_identities(name: str, dtype: str) -> None:
    """a = b + c in the left half-plane, on both sides of every radius, to a few roundings of the terms."""
    z = arguments()[arguments().real <= 0].astype(dtype)
    a, b, c = IDENTITIES[name](z)
    size = np.abs(a) + np.abs(b) + np.abs(c)
    assert np.max(np.abs(a - (b + c)) / size) < 8 * np.finfo(dtype).eps


@pytest.mark.parametrize("f", [row[1] for row in FUNCTIONS], ids=lambda f: f.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_neglected_term_is_below_an_eighth_of_eps(f: Entire, dtype: str) -> None:
    terms = len(series(f, np.dtype(dtype)))
    smallest = abs(f(np.array(-f.radius)))
    assert float(f.coefficient(terms)) * f.radius**terms < np.finfo(dtype).eps / 8 * smallest
    assert terms == TERMS[f.radius][dtype]


@pytest.mark.parametrize("x", [0.0, 1e-20, -0.3, 1.0, -5.5, 7.9])
def test_the_fixed_point_normal_distribution_equals_the_second_opinion(x: float) -> None:
    want = float(mpmath.ncdf(mpmath.mpf(x)))
    assert abs(normal_cdf(x) - want) <= np.finfo(np.float64).eps * want


def test_at_zero_and_on_reals() -> None:
    x = np.array([-3.0, -1.5, -1.0, -1e-8, 1e-8, 1.0, 1.5, 2.0])
    at_zero = (1, 1 / 2, 1 / 3, 1 / 2, 1 / 6)
    for (_, f, n, order), at in zip(FUNCTIONS, at_zero, strict=True):
        assert f(np.zeros(1))[0] == at
        want = np.array([float(mp_phi(v, n, order).real) for v in x])
        assert ratio(f(x), want, getattr(limits, f.name)(x), float(np.finfo(float).eps)) <= 1


@pytest.mark.parametrize("f", [row[1] for row in FUNCTIONS], ids=lambda f: f.name)
def test_nothing_overflows_in_the_left_half_plane(f: Entire) -> None:
    """z² does from 1.8e19 on in float32."""
    z = np.array([-1e30, -1e30j, -1e25 + 1e25j], np.complex64)
    with np.errstate(under="ignore"):
        assert np.isfinite(f(z)).all()


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


@pytest.mark.parametrize(
    "pair",
    [(zoh, zoh_vjp), (bilinear, bilinear_vjp), (first_order_hold, first_order_hold_vjp)],
    ids=["zoh", "bilinear", "first_order_hold"],
)
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
