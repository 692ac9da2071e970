"""A-priori error bounds of φ₁, φ₂ and their derivatives, zero-order hold, bilinear, dirac, async and
first-order hold, in units of eps, as in `s5ref.verification.rounding.bounds`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s5ref.arrays import Array
from s5ref.ssm.phi import PHI1_SECOND, PHI2, PHI2_PRIME, Entire
from s5ref.ssm.phi import phi1 as phi1_value
from s5ref.ssm.phi import phi1_prime as phi1_prime_value
from s5ref.verification.rounding.budget import COMPLEX_EXP, COMPLEX_STEP, UNIT

Bounds = dict[str, Array]


def phi1(z: Array) -> Array:
    """4 (|φ₁| + m), m = 0 for |z| ≤ 1, else (1 + |eᶻ|)/|z|: φ₁ has zeros at 2πik, where its parts cancel."""
    size = np.maximum(np.abs(z), 1)
    m = np.where(np.abs(z) <= 1, 0, (1 + np.abs(np.exp(z))) / size)
    return np.asarray(4 * (np.abs(phi1_value(z)) + m))


def phi1_prime(z: Array) -> Array:
    """4 (|φ₁′| + m), m = 0 for |z| ≤ 1, else (1 + |eᶻ|(1 + |z|))/|z|²."""
    size = np.maximum(np.abs(z), 1)
    m = np.where(np.abs(z) <= 1, 0, (1 + np.abs(np.exp(z)) * (1 + size)) / size**2)
    return np.asarray(4 * (np.abs(phi1_prime_value(z)) + m))


def phi1_second(z: Array) -> Array:
    """4 (|φ₁″| + m), beyond the series m = (2 + |eᶻ|(2 + 2|z| + |z|²))/|z|³."""
    size, e = np.maximum(np.abs(z), PHI1_SECOND.radius), np.abs(np.exp(z))
    return _entire(PHI1_SECOND, z, (2 + e * (2 + 2 * size + size**2)) / size**3)


def phi2(z: Array) -> Array:
    """4 (|φ₂| + m), beyond the series m = (1 + |eᶻ|)/|z|²."""
    return _entire(PHI2, z, (1 + np.abs(np.exp(z))) / np.maximum(np.abs(z), PHI2.radius) ** 2)


def phi2_prime(z: Array) -> Array:
    """4 (|φ₂′| + m), beyond the series m = (1 + |eᶻ|)(2 + |z|)/|z|³."""
    size = np.maximum(np.abs(z), PHI2_PRIME.radius)
    return _entire(PHI2_PRIME, z, (1 + np.abs(np.exp(z))) * (2 + size) / size**3)


def _entire(f: Entire, z: Array, beyond: Array) -> Array:
    """4 (|f| + m), within the series m = f(|z|) − f(0) = Σ_{k≥1} c_k |z|ᵏ."""
    size = np.abs(z)
    near = size <= f.radius
    within = f(np.where(near, size, 0)) - float(f.coefficient(0))
    return np.asarray(4 * (np.abs(f(z)) + np.where(near, within, beyond)))


def zoh(Lambda: Array, Delta: Array) -> Bounds:
    """z = ΛΔ is rounded first: that costs |z| u |eᶻ| in Λ̄ and |z φ₁′| u in φ₁, and is the price of the
    argument."""
    z = Lambda * Delta
    Lambda_bar = np.abs(np.exp(z)) * (COMPLEX_EXP + UNIT * np.abs(z))
    gain = np.abs(Delta) * (phi1(z) + UNIT * np.abs(z * phi1_prime_value(z)) + UNIT * np.abs(phi1_value(z)))
    return {"0": Lambda_bar, "1": gain}


def bilinear(Lambda: Array, Delta: Array) -> Bounds:
    """h = ΛΔ/2; 1/(1 − h) carries the errors of h, of the difference and of a complex division (5 eps)."""
    h = Lambda * Delta / 2
    inverse = np.abs(1 / (1 - h))
    relative = inverse * (UNIT * np.abs(h) + UNIT * np.abs(1 - h)) + 5
    numerator = np.abs(1 + h)
    Lambda_bar = inverse * (numerator * (relative + COMPLEX_STEP + UNIT) + UNIT * np.abs(h))
    return {"0": Lambda_bar, "1": np.abs(Delta) * inverse * (relative + UNIT)}


def dirac(Lambda: Array, Delta: Array) -> Bounds:
    """Λ̄ as of zero-order hold; the gain is exact."""
    Lambda_bar = zoh(Lambda, Delta)["0"]
    return {"0": Lambda_bar, "1": np.zeros_like(Lambda_bar)}


def asynchronous(Lambda: Array, Delta: Array, interval: Array | None = None) -> Bounds:
    """Λ̄ as of dirac, where Δ · interval is one rounding more, which moves Λ̄ by |z Λ̄| u; the gain as of
    zero-order hold."""
    step = Delta if interval is None else Delta * interval
    z = Lambda * step
    moved = 0 if interval is None else UNIT * np.abs(z * np.exp(z))
    return {"0": dirac(Lambda, step)["0"] + moved, "1": zoh(Lambda, Delta)["1"]}


def first_order_hold(Lambda: Array, Delta: Array) -> Bounds:
    """Λ̄ as of zero-order hold; the gains Δφ₁′ and Δφ₂ as its gain."""
    z, size = Lambda * Delta, np.abs(Delta)
    before = phi1_prime(z) + UNIT * np.abs(z * PHI1_SECOND(z)) + UNIT * np.abs(phi1_prime_value(z))
    now = phi2(z) + UNIT * np.abs(z * PHI2_PRIME(z)) + UNIT * np.abs(PHI2(z))
    return {"0": zoh(Lambda, Delta)["0"], "1": size * before, "2": size * now}


# The bounds of each rule of `s5ref.ssm.ssm.DISCRETIZATIONS`, of the arguments of its pair.
RULES: dict[str, Callable[..., Bounds]] = {
    "zoh": zoh,
    "bilinear": bilinear,
    "dirac": dirac,
    "async": asynchronous,
    "foh": first_order_hold,
}
