"""φ₁, φ₂, their derivatives and Φ in fixed-point integers of 640 bits: power series at exactly the given
argument, then one rounding."""

from __future__ import annotations

from math import factorial, isqrt, perm

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.ssm.phi import PHI1, PHI1_PRIME, PHI1_SECOND, PHI2, PHI2_PRIME
from s5ref.verification.report import Measured
from s5ref.verification.rounding import bounds, discretization_bounds
from s5ref.verification.rounding.budget import ratio

BITS = 640
FUNCTIONS = (  # name, n, order of the derivative
    ("φ₁", PHI1, 1, 0), ("φ₁′", PHI1_PRIME, 1, 1), ("φ₁″", PHI1_SECOND, 1, 2), ("φ₂", PHI2, 2, 0),
    ("φ₂′", PHI2_PRIME, 2, 1),
)  # fmt: skip


def series(z: complex, n: int, order: int) -> complex:
    """The derivative of order m = ``order`` of φₙ, Σ (k+1)…(k+m) zᵏ/(k+n+m)!, for |z| ≤ 100: terms up
    to e¹⁰⁰ ≈ 2¹⁴⁵ leave 495 bits."""
    re, im = (int.__lshift__(*_ratio(part)) for part in (z.real, z.imag))
    shift = n + order
    pr, pi = (1 << BITS) // factorial(shift), 0  # zᵏ/(k+n+m)!
    sr = si = k = 0
    while pr or pi:
        weight = perm(k + order, order)
        sr, si = sr + weight * pr, si + weight * pi
        k += 1
        divisor = (k + shift) << BITS
        pr, pi = _divided(pr * re - pi * im, divisor), _divided(pr * im + pi * re, divisor)
    return complex(sr / (1 << BITS), si / (1 << BITS))


def _ratio(part: float) -> tuple[int, int]:
    numerator, denominator = float(part).as_integer_ratio()
    shift = BITS - (denominator.bit_length() - 1)
    return (numerator, shift) if shift >= 0 else (0, 0)  # below 2⁻⁶⁴⁰: nothing


def _divided(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def arguments() -> Array:
    """Small, around |z| = 1 and 3/2 where a formula changes, HiPPO's left half-plane, near the zeros, real,
    the imaginary axis."""
    angles = np.exp(1j * np.linspace(-np.pi, np.pi, 13))
    radii = np.array([1e-30, 1e-9, 1e-4, 0.1, 0.999, 1.0, 1.001, 1.499, 1.5, 1.501, 2.0, 7.0, 30.0])
    zeros = np.array([2j * np.pi, -2j * np.pi * 3, -2.0888 + 7.4615j, 2.0888 + 7.4615j])
    return np.concatenate(
        [[0], np.outer(radii, angles).ravel(), (zeros[:, None] + 1e-3 * angles).ravel(), -1e-3 + 1j * radii]
    )


def phi_ratios(dtype: str) -> Measured:
    """(ratio to the bound, where) of every function at every argument."""
    narrow = np.dtype(np.result_type(np.dtype(dtype), np.complex64))
    z = arguments().astype(narrow)
    eps = float(np.finfo(dtype).eps)
    for name, f, n, order in FUNCTIONS:
        want = np.array([series(complex(v), n, order) for v in z])
        bound = getattr(discretization_bounds, f.name)(z.astype(np.complex128))
        for got, exact, limit, at in zip(f(z), want, bound, z, strict=True):
            yield ratio(got, exact, limit, eps), f"{name}({at:.6g})"


def normal_cdf(x: float) -> float:
    """Φ(x) = ½ + 1/√(2π) Σ (−1)ᵏ x²ᵏ⁺¹/(2ᵏ k! (2k+1)), for |x| ≤ 12: terms up to e⁷² leave 530 bits."""
    one = 1 << BITS
    v = int.__lshift__(*_ratio(x))
    square, term, total, k = v * v >> BITS, v, 0, 0
    while term:
        total += _divided(term, 2 * k + 1)
        k += 1
        term = -_divided(term * square, 2 * k * one)
    root = isqrt((2 * _pi()) << BITS)
    return (one // 2 + _divided(total * one, root)) / one


def _pi() -> int:
    """Machin: π = 16 arctan(1/5) − 4 arctan(1/239)."""

    def arctan_inverse(n: int) -> int:
        power, total, k = (1 << (BITS + 16)) // n, 0, 0
        while power:
            total += (-1) ** k * (power // (2 * k + 1))
            power //= n * n
            k += 1
        return total

    return (16 * arctan_inverse(5) - 4 * arctan_inverse(239)) >> 16


def gelu_ratios(engine: Engine, dtype: str) -> Measured:
    """(ratio to the bound, where) of x Φ(x) and of its derivative Φ(x) + x φ(x) (with dy = 1)."""
    x = np.concatenate([np.linspace(-8, 8, 129), -np.logspace(-20, 0, 21)]).astype(dtype)
    at, ones = x.astype(np.float64), np.ones_like(x, np.float64)
    y, residuals = engine.gelu_erf.value(x[None, :, None])
    d = engine.gelu_erf.vjp(residuals, np.ones_like(x)[None, :, None])
    cdf = np.array([normal_cdf(float(v)) for v in at])
    want = at * cdf, cdf + at * np.exp(-0.5 * at * at) / np.sqrt(2 * np.pi)
    limits, eps = bounds.gelu_erf(at, ones), float(np.finfo(dtype).eps)
    for name, got, exact in (("y", y, want[0]), ("d", d, want[1])):
        for value, w, limit, v in zip(got[0, :, 0], exact, limits[name], x, strict=True):
            yield ratio(value, w, limit, eps), f"{name} at {v:.6g}"
