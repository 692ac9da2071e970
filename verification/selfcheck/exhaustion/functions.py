"""The functions, as the engines compute them in float32 and as float64 defines them.

The definitions are evaluated in float64, whose eps is 2⁻²⁹ of float32's: they judge, they are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import pi, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import NUMPY
from s5ref.nn.activation import GELU_CUBIC, GELU_SLOPE, sigmoid
from s5ref.ssm.phi import phi1, phi2

Fn = Callable[[Array], Array]


class Function(NamedTuple):
    """A function under test: its name, the engine that computes it, float32 → float32, float64 → float64."""

    name: str
    engine: str
    narrow: Fn
    wide: Fn


def functions(engines: list[Engine]) -> Iterator[Function]:
    """exp, tanh, σ, φ₁ and φ₂ in NumPy; σ, both GELUs and their derivatives by engine."""
    yield Function("exp", "numpy", np.exp, np.exp)
    yield Function("tanh", "numpy", np.tanh, np.tanh)
    yield Function("σ", "numpy", sigmoid, sigmoid64)
    yield Function("φ₁ (real)", "numpy", phi1, phi1_64)
    yield Function("φ₂ (real)", "numpy", phi2, phi2_64)
    for engine in engines:
        if engine.name == "numba":
            yield Function("σ", "numba", partial(_sigmoid_of, engine), sigmoid64)
        for label, field, value, slope in (
            ("GELU tanh", "gelu_tanh", gelu_tanh64, gelu_tanh_slope64),
            ("GELU erf", "gelu_erf", gelu_erf64, gelu_erf_slope64),
        ):
            pair = getattr(engine, field)
            if engine is not NUMPY and pair == getattr(NUMPY, field):
                continue  # the same function as NUMPY's
            yield Function(label, engine.name, lambda x, p=pair: p.value(x)[0], value)  # type: ignore[misc]
            yield Function(f"{label}′", engine.name, partial(_slope, pair), slope)


def _slope(pair: Pair, x: Array) -> Array:
    return np.asarray(pair.vjp(pair.value(x)[1], np.ones_like(x)))


def _sigmoid_of(engine: Engine, x: Array) -> Array:
    """σ(x) of an engine, read off its gated linear unit at h = 1."""
    return np.asarray(engine.glu.value(np.ones_like(x), x)[0])


def sigmoid64(x: Array) -> Array:
    """1/(1 + e⁻ˣ) for x ≥ 0, eˣ/(1 + eˣ) below."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1 + small))


def phi1_64(x: Array) -> Array:
    """(eˣ − 1)/x by the library's expm1; infinite where eˣ overflows float32, as Λ̄ is; NaN at ∞, ∞/∞."""
    at_zero = x == 0
    value = np.where(at_zero, 1.0, np.expm1(x) / np.where(at_zero, 1.0, x))
    return np.where(np.isposinf(x), np.nan, np.where(np.exp(x) > np.finfo(np.float32).max, np.inf, value))


def phi2_64(x: Array) -> Array:
    """(eˣ − 1 − x)/x², near 0 by four terms of its series; infinite and NaN where φ₁ is."""
    near = np.abs(x) < 2.0**-10
    small, large = np.where(near, x, 0.0), np.where(near, 1.0, x)
    polynomial = 1 / 2 + small * (1 / 6 + small * (1 / 24 + small / 120))
    return np.where(near, polynomial, (phi1_64(large) - 1) / large)


def _argument(x: Array) -> Array:
    return GELU_SLOPE * (x + GELU_CUBIC * x * x * x)


def gelu_tanh64(x: Array) -> Array:
    """x σ(2c(x + 0.044715 x³)); NaN at −∞, −∞ · 0, as in Flax."""
    return x * sigmoid64(_argument(x))


def gelu_tanh_slope64(x: Array) -> Array:
    """σ(a) + x a′ σ(a) σ(−a), constant beyond |x| = 64."""
    x = np.clip(x, -64, 64)
    a, slope = _argument(x), GELU_SLOPE * (1 + 3 * GELU_CUBIC * x * x)
    return sigmoid64(a) + x * slope * sigmoid64(a) * sigmoid64(-a)


def gelu_erf64(x: Array) -> Array:
    """x Φ(x); NaN at −∞, −∞ · 0, as in PyTorch."""
    return np.asarray(x * ndtr(x))


def gelu_erf_slope64(x: Array) -> Array:
    """Φ(x) + x φ(x), constant beyond |x| = 64."""
    x = np.clip(x, -64, 64)
    return np.asarray(ndtr(x) + x * np.exp(-0.5 * x * x) / sqrt(2 * pi))
