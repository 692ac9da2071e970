"""φ₁(z) = (eᶻ − 1)/z and its derivative, without the cancellation of the textbook formula.

Both are entire. For |z| ≤ 1 the Taylor series is summed, beyond it the closed form has no harmful
cancellation: error ≤ 4 eps (|f| + m(z)), m = 0 for |z| ≤ 1, else (1 + |eᶻ|)/|z| for φ₁ and (1 + |eᶻ|(1 +
|z|))/|z|² for φ₁′. Derivation: docs/derivations/phi.md.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import factorial
from typing import Any

import numpy as np

from s5ref.arrays import Array, as_array, check_kind, constant, real_dtype

TERMS = {"float32": 12, "float64": 20}  # first neglected term < eps/8 at |z| = 1; longer types: 28
PHI1_SERIES = tuple(Fraction(1, factorial(k + 1)) for k in range(28))
PHI1_PRIME_SERIES = tuple(Fraction(k + 1, factorial(k + 2)) for k in range(28))


def phi1(z: Array) -> Array:
    """φ₁(z) = (eᶻ − 1)/z, φ₁(0) = 1. Real or complex z of any shape; same shape and dtype."""
    near, small, large = _split("phi1", z)
    return np.where(near, _series(phi1_terms(real_dtype(small)), small), (np.exp(large) - 1) / large)


def phi1_prime(z: Array) -> Array:
    """φ₁′(z) = (eᶻ(z − 1) + 1)/z², φ₁′(0) = ½. Real or complex z of any shape; same shape and dtype."""
    near, small, large = _split("phi1_prime", z)
    return np.where(
        near,
        _series(phi1_prime_terms(real_dtype(small)), small),
        ((np.exp(large) * (large - 1) + 1) / large) / large,
    )


def _split(where: str, z: Array) -> tuple[Array, Array, Array]:
    """Where |z| ≤ 1, z there (0 elsewhere), and z elsewhere (2 there): neither branch meets the other's
    arguments.
    """
    z = check_kind(where, "z", as_array(z), "fc", "real or complex")
    near = np.abs(z) <= 1
    return near, np.where(near, z, np.zeros_like(z)), np.where(near, np.full_like(z, 2), z)


def _series(terms: list[Any], z: Array) -> Array:
    """Σ c_k zᵏ by Horner; ``terms`` are the c_k, the last first."""
    total = np.full_like(z, terms[0])
    for c in terms[1:]:
        total = total * z + c
    return total


@cache
def phi1_terms(real: np.dtype[Any]) -> list[Any]:
    return _rounded(PHI1_SERIES, real)


@cache
def phi1_prime_terms(real: np.dtype[Any]) -> list[Any]:
    return _rounded(PHI1_PRIME_SERIES, real)


def _rounded(coefficients: tuple[Fraction, ...], real: np.dtype[Any]) -> list[Any]:
    """As many as a precision needs, in that precision, the last first."""
    like, terms = np.empty(0, real), TERMS.get(real.name, 28)
    return [constant(*c.as_integer_ratio(), like) for c in reversed(coefficients[:terms])]
