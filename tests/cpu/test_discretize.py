"""The compiled zero-order hold against the reference in the next wider precision, within its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.arrays import Array
from s5ref.cpu import discretize
from s5ref.random import generator
from s5ref.ssm import discretize as reference
from s5ref.ssm.phi import phi1_prime
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions
from s5ref.verification.rounding import discretization_bounds as limits
from s5ref.verification.rounding.budget import cast, ratio, wider


def problem(dtype: str) -> tuple[Array, Array]:
    """|ΛΔ| from 1e-6 to 20, dense where the series ends, in the left half-plane."""
    rng = generator("test", "discretize")
    size = np.concatenate([np.logspace(-6, 1.3, 150), 1 + 1e-3 * rng.standard_normal(50)])
    angle = rng.uniform(np.pi / 2, 3 * np.pi / 2, size.size)
    Delta = np.exp(rng.uniform(-7, 0, size.size))
    Lambda, Delta = cast((size / Delta * np.exp(1j * angle), Delta), np.dtype(dtype))
    return Lambda, Delta


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_cotangents_are_within_their_bounds(dtype: str) -> None:
    Lambda, Delta = problem(dtype)
    d = cast(tuple(z / np.abs(z) for z in (Lambda, 1j * Lambda)), np.dtype(dtype))
    (Lambda_bar, gain), residuals = discretize.zoh(Lambda, Delta)
    got = (Lambda_bar, gain, *discretize.zoh_vjp(residuals, d))
    L, D, dw = cast((Lambda, Delta, d), wider(dtype))
    (want_bar, want_gain), residuals = reference.zoh(L, D)
    want = (want_bar, want_gain, *reference.zoh_vjp(residuals, dw))
    z, bound = L * D, limits.zoh(L, D)
    e, slope = np.abs(np.exp(z)), np.abs(phi1_prime(z))
    dz = bound["0"] + D * (limits.phi1_prime(z) + 4 * slope) + 4 * e  # |d| = 1; four for a product and a sum
    bounds = (bound["0"], bound["1"], D * dz, (bound["0"] + 4 * e) * (np.abs(L) + 1))
    for x, exact, limit in zip(got, want, bounds, strict=True):
        assert ratio(x, exact, limit, float(np.finfo(dtype).eps)) <= 1


def test_it_stands_in_for_the_reference_only() -> None:
    assert discretize.with_compiled_zoh(SSMOptions()).discretization.pair.value is discretize.zoh
    other = SSMOptions(discretization=DISCRETIZATIONS["bilinear"])
    assert discretize.with_compiled_zoh(other) == other


@pytest.mark.parametrize(
    ("Lambda", "Delta", "words"),
    [
        ([-1, np.nan], [0.1, 0.1], "Lambda must be finite"),
        ([-1, -2], [0.1, -0.1], "Delta must not be negative"),
    ],
)
def test_what_the_reference_refuses_is_refused(Lambda: list[float], Delta: list[float], words: str) -> None:
    with pytest.raises(S5Error, match=words):
        discretize.zoh(np.array(Lambda, complex), np.array(Delta))


def test_a_step_of_length_zero_keeps_the_state() -> None:
    (Lambda_bar, gain), _ = discretize.zoh(np.array([-1, -2 + 1j]), np.zeros(2))
    assert (Lambda_bar == 1).all()
    assert (gain == 0).all()
