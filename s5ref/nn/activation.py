"""Sigmoid, the two GELUs, the gated linear unit, the rectifier, tanh and a positive activation, elementwise.
Derivation: docs/derivations/activation.md.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, constant, pi
from s5ref.errors import ShapeError

GELU_SLOPE = 2 * math.sqrt(2 / math.pi)  # 2c: GELU_tanh(x) = x σ(2c (x + 0.044715 x³))
GELU_CUBIC = 0.044715
NORMAL_DENSITY = 1 / math.sqrt(2 * math.pi)  # φ(0): GELU_erf′(x) = Φ(x) + x φ(0) e^(−x²/2)
GELU_FLAT = 64.0  # beyond, GELU_tanh is x or 0 in every precision: σ(±a(64)) = σ(±18807) is 1 or 0


def sigmoid(x: Array) -> Array:
    """σ(x) = 1/(1 + e⁻ˣ), accurate relatively also where it is tiny, and without overflow."""
    small = np.exp(-np.abs(x))
    s: Array = np.where(x >= 0, np.ones_like(x), small) / (1 + small)
    return s


class GeluTanhResiduals(NamedTuple):
    """Residuals of `gelu_tanh`."""

    x: Array


def gelu_tanh(x: Array) -> tuple[Array, GeluTanhResiduals]:
    """½x(1 + tanh(c(x + 0.044715x³))) = x σ(2c(x + 0.044715x³)), c = √(2/π): the GELU of Flax and of
    upstream S5.
    """
    return x * sigmoid(_argument(x)), GeluTanhResiduals(x)


def gelu_tanh_vjp(residuals: GeluTanhResiduals, dy: Array) -> Array:
    """dy (σ + x σ(1 − σ) a′), a = 2c(x + 0.044715x³). σ(1 − σ) is formed as σ(a)σ(−a): it does not cancel."""
    x = np.clip(residuals.x, -GELU_FLAT, GELU_FLAT)
    s = sigmoid(_argument(x))
    slope, cubic = _constants(x)
    slope = slope * (1 + 3 * cubic * x * x)
    dx: Array = dy * (s + x * slope * (s * sigmoid(-_argument(x))))
    return dx


def _argument(x: Array) -> Array:
    x = np.clip(x, -GELU_FLAT, GELU_FLAT)  # so that x³ does not overflow
    slope, cubic = _constants(x)
    a: Array = slope * (x + cubic * (x * x * x))
    return a


def _constants(x: Array) -> tuple[Any, Any]:
    """2c = 2√(2/π) and 0.044715 in the precision of x."""
    return 2 * (2 / pi(x)) ** 0.5, constant(44715, 1_000_000, x)


class GeluErfResiduals(NamedTuple):
    """Residuals of `gelu_erf`."""

    x: Array


def gelu_erf(x: Array) -> tuple[Array, GeluErfResiduals]:
    """x Φ(x), Φ the normal distribution function: the GELU of PyTorch. float32 and float64."""
    return x * _normal_cdf(x), GeluErfResiduals(x)


def gelu_erf_vjp(residuals: GeluErfResiduals, dy: Array) -> Array:
    """dy (Φ(x) + x φ(x)), φ(x) = exp(−x²/2)/√(2π)."""
    x = np.clip(residuals.x, -GELU_FLAT, GELU_FLAT)  # Φ(±64) is 1 or 0, and x² does not overflow
    dx: Array = dy * (_normal_cdf(x) + x * (np.exp(-0.5 * x * x) * NORMAL_DENSITY))
    return dx


def _normal_cdf(x: Array) -> Array:
    if x.dtype.itemsize > 8:
        raise ShapeError(
            f"gelu_erf: float32 or float64, the precisions of the error function; got {x.dtype}.",
            'Use gelu = "tanh" in longdouble.',
        )
    from scipy.special import ndtr  # deferred: `import s5ref` loads NumPy only

    cdf: Array = ndtr(x)
    return cdf


class GluResiduals(NamedTuple):
    """Residuals of `glu`."""

    h: Array
    z: Array


def glu(h: Array, z: Array) -> tuple[Array, GluResiduals]:
    """h σ(z), elementwise."""
    return h * sigmoid(z), GluResiduals(h, z)


def glu_vjp(residuals: GluResiduals, dy: Array) -> tuple[Array, Array]:
    """(dh, dz) = (dy σ, dy h σ(1 − σ)). σ(1 − σ) is formed as σ(z)σ(−z): it does not cancel."""
    h, z = residuals
    s = sigmoid(z)
    return dy * s, dy * h * (s * sigmoid(-z))


class ReluResiduals(NamedTuple):
    """Residuals of `relu`: its value."""

    y: Array


def relu(x: Array) -> tuple[Array, ReluResiduals]:
    """max(x, 0)."""
    y = np.maximum(x, np.zeros_like(x))
    return y, ReluResiduals(y)


def relu_vjp(residuals: ReluResiduals, dy: Array) -> Array:
    """dy where x > 0, else 0."""
    dx: Array = np.where(residuals.y > 0, dy, np.zeros_like(dy))
    return dx


class TanhResiduals(NamedTuple):
    """Residuals of `tanh`: its value."""

    y: Array


def tanh(x: Array) -> tuple[Array, TanhResiduals]:
    """tanh x."""
    y = np.tanh(x)
    return y, TanhResiduals(y)


def tanh_vjp(residuals: TanhResiduals, dy: Array) -> Array:
    """dy (1 − y)(1 + y), which does not cancel further than y itself is rounded."""
    y = residuals.y
    dx: Array = dy * ((1 - y) * (1 + y))
    return dx


class ExpLinearResiduals(NamedTuple):
    """Residuals of `exp_linear`: its value."""

    y: Array


def exp_linear(x: Array) -> tuple[Array, ExpLinearResiduals]:
    """eˣ where x < 0, else 1 + x: positive, and smooth but for its second derivative at 0. No exponential of
    an x above 0 is taken, which would overflow, and whose gradient is NaN even where its value is not chosen.
    """
    zero = np.zeros_like(x)
    y = np.exp(np.minimum(x, zero)) + np.maximum(x, zero)
    return y, ExpLinearResiduals(y)


def exp_linear_vjp(residuals: ExpLinearResiduals, dy: Array) -> Array:
    """dy · min(y, 1): where x < 0 the slope is y itself, else 1."""
    y = residuals.y
    dx: Array = dy * np.minimum(y, np.ones_like(y))
    return dx
