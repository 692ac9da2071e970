"""The functions, as the engines compute them in float32 and as float64 defines them.

The definitions are evaluated in float64, whose eps is 2⁻²⁹ of float32's: they judge, they are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import pi, sqrt
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import NUMPY
from s5ref.nn.activation import GELU_CUBIC, GELU_SLOPE, sigmoid
from s5ref.ssm.phi import phi1

Fn = Callable[[Array], Array]


class Function(NamedTuple):
    """A function under test: its name, the engine that computes it, float32 → float32, float64 → float64."""

    name: str
    engine: str
    narrow: Fn
    wide: Fn


def functions(engines: list[Engine]) -> Iterator[Function]:
    """exp, tanh, σ and φ₁ in NumPy; σ, both GELUs and their derivatives by engine."""
    yield Function("exp", "numpy", np.exp, np.exp)
    yield Function("tanh", "numpy", np.tanh, np.tanh)
    yield Function("σ", "numpy", sigmoid, sigmoid64)
    yield Function("φ₁ (real)", "numpy", phi1, phi1_64)
    for engine in engines:
        if engine.name == "numba":
            yield Function("σ", "numba", lambda x, k=engine: _sigmoid_of(k, x), sigmoid64)  # type: ignore[misc]
        for label, pair, value, slope in (
            ("GELU tanh", engine.gelu_tanh, gelu_tanh64, gelu_tanh_slope64),
            ("GELU erf", engine.gelu_erf, gelu_erf64, gelu_erf_slope64),
        ):
            if engine is not NUMPY and pair == getattr(NUMPY, _field(label)):
                continue  # the same function as NUMPY's
            yield Function(label, engine.name, lambda x, p=pair: p.value(x)[0], value)  # type: ignore[misc]
            yield Function(f"{label}′", engine.name, lambda x, p=pair: _slope(p, x), slope)  # type: ignore[misc]


def _field(label: str) -> str:
    return label.lower().replace(" ", "_")


def _slope(pair: object, x: Array) -> Array:
    _, residuals = pair.value(x)  # type: ignore[attr-defined]
    return pair.vjp(residuals, np.ones_like(x))  # type: ignore[attr-defined, no-any-return]


def _sigmoid_of(engine: Engine, x: Array) -> Array:
    """σ(x) of an engine, read off its gated linear unit at h = 1."""
    y: Array = engine.glu.value(np.ones_like(x), x)[0]
    return y


def sigmoid64(x: Array) -> Array:
    """1/(1 + e⁻ˣ) for x ≥ 0, eˣ/(1 + eˣ) below."""
    small = np.exp(-np.abs(x))
    value: Array = np.where(x >= 0, 1.0, small) / (1 + small)
    return value


def phi1_64(x: Array) -> Array:
    """(eˣ − 1)/x by the library's expm1; infinite where eˣ overflows float32, as Λ̄ is; NaN at ∞, ∞/∞."""
    at_zero = x == 0
    value = np.where(at_zero, 1.0, np.expm1(x) / np.where(at_zero, 1.0, x))
    return np.where(np.isposinf(x), np.nan, np.where(np.exp(x) > np.finfo(np.float32).max, np.inf, value))


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
    from scipy.special import ndtr

    value: Array = x * ndtr(x)
    return value


def gelu_erf_slope64(x: Array) -> Array:
    """Φ(x) + x φ(x), constant beyond |x| = 64."""
    from scipy.special import ndtr

    x = np.clip(x, -64, 64)
    slope: Array = ndtr(x) + x * np.exp(-0.5 * x * x) / sqrt(2 * pi)
    return slope
