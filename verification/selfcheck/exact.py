"""φ₁, φ₁′ and Φ in fixed-point integers of 640 bits: power series at exactly the given argument, then one
rounding."""

from __future__ import annotations

from math import isqrt

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.ssm.phi import phi1, phi1_prime
from s5ref.verification.report import Measured
from s5ref.verification.rounding import bounds
from s5ref.verification.rounding.budget import ratio
from s5ref.verification.rounding.discretization_bounds import phi1 as phi1_bound
from s5ref.verification.rounding.discretization_bounds import phi1_prime as phi1_prime_bound

BITS = 640


def series(z: complex, prime: bool) -> complex:
    """Σ zᵏ/(k+1)!, or Σ (k+1) zᵏ/(k+2)!, for |z| ≤ 100: terms up to e¹⁰⁰ ≈ 2¹⁴⁵ leave 495 bits."""
    re, im = (int.__lshift__(*_ratio(part)) for part in (z.real, z.imag))
    pr, pi = 1 << BITS, 0  # zᵏ/(k+1)!, or zᵏ/(k+2)!
    if prime:
        pr //= 2
    sr = si = k = 0
    while pr or pi:
        weight = k + 1 if prime else 1
        sr, si = sr + weight * pr, si + weight * pi
        k += 1
        divisor = (k + 2 if prime else k + 1) << BITS
        pr, pi = _divided(pr * re - pi * im, divisor), _divided(pr * im + pi * re, divisor)
    return complex(sr / (1 << BITS), si / (1 << BITS))


def _ratio(part: float) -> tuple[int, int]:
    numerator, denominator = float(part).as_integer_ratio()
    shift = BITS - (denominator.bit_length() - 1)
    return (numerator, shift) if shift >= 0 else (0, 0)  # below 2⁻⁶⁴⁰: nothing


def _divided(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def arguments() -> Array:
    """Small, around |z| = 1 where the formula changes, HiPPO's left half-plane, near the zeros, real, the
    imaginary axis."""
    angles = np.exp(1j * np.linspace(-np.pi, np.pi, 13))
    radii = np.array([1e-30, 1e-9, 1e-4, 0.1, 0.999, 1.0, 1.001, 2.0, 7.0, 30.0])
    zeros = np.array([2j * np.pi, -2j * np.pi * 3, -2.0888 + 7.4615j])
    return np.concatenate(
        [[0], np.outer(radii, angles).ravel(), (zeros[:, None] + 1e-3 * angles).ravel(), -1e-3 + 1j * radii]
    )


def phi_ratios(dtype: str) -> Measured:
    """(ratio to the bound, where) of both functions at every argument."""
    narrow = np.dtype(np.result_type(np.dtype(dtype), np.complex64))
    z = arguments().astype(narrow)
    eps = float(np.finfo(dtype).eps)
    for name, fn, bound, prime in (
        ("φ₁", phi1, phi1_bound, False),
        ("φ₁′", phi1_prime, phi1_prime_bound, True),
    ):
        want = np.array([series(complex(v), prime) for v in z])
        for got, exact, limit, at in zip(fn(z), want, bound(z.astype(np.complex128)), z, strict=True):
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
