"""φ₁(z) = (eᶻ − 1)/z, φ₂(z) = (eᶻ − 1 − z)/z² and derivatives, without the cancellation of the textbook
formulas.

All are entire. Near 0 the Taylor series is summed, beyond a radius the closed form has no harmful
cancellation: error ≤ 4 eps (|f| + m(z)), with the radius and m of each in docs/derivations/phi.md.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import factorial
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, as_array, check_kind, constant, real_dtype

# Terms of a series by radius and precision: the first one neglected is below eps/8. Longer types: 28.
TERMS = {1.0: {"float32": 12, "float64": 20}, 1.5: {"float32": 14, "float64": 22}}


class Entire(NamedTuple):
    """f(z) = Σ c_k zᵏ for |z| ≤ radius, beyond it ``closed(z, eᶻ)``."""

    name: str
    coefficient: Callable[[int], Fraction]
    closed: Callable[[Array, Array], Array]
    radius: float

    def __call__(self, z: Array) -> Array:
        z = check_kind(self.name, "z", as_array(z), "fc", "real or complex")
        near = np.abs(z) <= self.radius
        # neither branch meets the arguments of the other, but 0 and 2
        small, large = np.where(near, z, np.zeros_like(z)), np.where(near, np.full_like(z, 2), z)
        return np.where(near, _horner(series(self, real_dtype(z)), small), self.closed(large, np.exp(large)))


PHI1 = Entire("phi1", lambda k: Fraction(1, factorial(k + 1)), lambda z, e: (e - 1) / z, 1.0)
PHI1_PRIME = Entire(
    "phi1_prime",
    lambda k: Fraction(k + 1, factorial(k + 2)),
    lambda z, e: ((e * (z - 1) + 1) / z) / z,
    1.0,
)
PHI1_SECOND = Entire(
    "phi1_second",
    lambda k: Fraction((k + 1) * (k + 2), factorial(k + 3)),
    lambda z, e: (e - 2 * ((e - (e - 1) / z) / z)) / z,
    1.5,
)
PHI2 = Entire("phi2", lambda k: Fraction(1, factorial(k + 2)), lambda z, e: ((e - 1) / z - 1) / z, 1.5)
PHI2_PRIME = Entire(
    "phi2_prime",
    lambda k: Fraction(k + 1, factorial(k + 3)),
    lambda z, e: ((e + 1 - 2 * ((e - 1) / z)) / z) / z,
    1.5,
)


def phi1(z: Array) -> Array:
    """φ₁(z) = (eᶻ − 1)/z, φ₁(0) = 1. Real or complex z of any shape; same shape and dtype."""
    return PHI1(z)


def phi1_prime(z: Array) -> Array:
    """φ₁′(z) = (eᶻ − φ₁)/z, φ₁′(0) = ½. Real or complex z of any shape; same shape and dtype."""
    return PHI1_PRIME(z)


def phi1_second(z: Array) -> Array:
    """φ₁″(z) = (eᶻ − 2φ₁′)/z, φ₁″(0) = ⅓. Real or complex z of any shape; same shape and dtype."""
    return PHI1_SECOND(z)


def phi2(z: Array) -> Array:
    """φ₂(z) = (φ₁ − 1)/z, φ₂(0) = ½. Real or complex z of any shape; same shape and dtype."""
    return PHI2(z)


def phi2_prime(z: Array) -> Array:
    """φ₂′(z) = (φ₁′ − φ₂)/z, φ₂′(0) = ⅙. Real or complex z of any shape; same shape and dtype."""
    return PHI2_PRIME(z)


@cache
def series(f: Entire, real: np.dtype[Any]) -> list[Any]:
    """As many coefficients as a precision needs, in that precision, the last first."""
    like, terms = np.empty(0, real), TERMS[f.radius].get(real.name, 28)
    return [constant(*f.coefficient(k).as_integer_ratio(), like) for k in reversed(range(terms))]


def _horner(terms: list[Any], z: Array) -> Array:
    """Σ c_k zᵏ; ``terms`` are the c_k, the last first."""
    total = np.full_like(z, terms[0])
    for c in terms[1:]:
        total = total * z + c
    return total
