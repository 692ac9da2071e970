"""GELU and the gated linear unit in one pass over memory. Stand in for s5ref.nn.activation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from s5ref.arrays import Array
from s5ref.cpu.compile import REAL, compiled, plain
from s5ref.cpu.exp import sigmoid
from s5ref.cpu.parallel import run
from s5ref.nn import activation
from s5ref.nn.activation import GELU_CUBIC, GELU_FLAT, GELU_SLOPE, GeluTanhResiduals, GluResiduals

ELEMENTS = 1 << 15  # of a job


def gelu_tanh(x: Array) -> tuple[Array, GeluTanhResiduals]:
    """x σ(2c(x + 0.044715x³)). Dtypes other than float32 and float64 run the reference."""
    if x.dtype not in REAL:
        return activation.gelu_tanh(x)
    x, y = plain(x, x.dtype), np.empty(x.shape, x.dtype)
    run(_gelu, _jobs(x), x.reshape(-1), y.reshape(-1), *gelu_constants(x))
    return y, GeluTanhResiduals(x)


def gelu_tanh_vjp(residuals: GeluTanhResiduals, dy: Array) -> Array:
    """dy (σ + x σ(1 − σ) a′), recomputing σ."""
    x = residuals.x
    if x.dtype not in REAL:
        return activation.gelu_tanh_vjp(residuals, dy)
    dx = np.empty(x.shape, x.dtype)
    run(_gelu_vjp, _jobs(x), x.reshape(-1), _flat(dy, x), dx.reshape(-1), *gelu_constants(x))
    return dx


def glu(h: Array, z: Array) -> tuple[Array, GluResiduals]:
    """h σ(z)."""
    if h.dtype not in REAL:
        return activation.glu(h, z)
    h, z, y = plain(h, h.dtype), plain(z, z.dtype), np.empty(h.shape, h.dtype)
    run(_glu, _jobs(h), h.reshape(-1), z.reshape(-1), y.reshape(-1), h.dtype.type(1))
    return y, GluResiduals(h, z)


def glu_vjp(residuals: GluResiduals, dy: Array) -> tuple[Array, Array]:
    """(dy σ, dy h σ(1 − σ)), recomputing σ."""
    h, z = residuals
    if h.dtype not in REAL:
        return activation.glu_vjp(residuals, dy)
    dh, dz = np.empty(h.shape, h.dtype), np.empty(h.shape, h.dtype)
    run(
        _glu_vjp,
        _jobs(h),
        h.reshape(-1),
        z.reshape(-1),
        _flat(dy, h),
        dh.reshape(-1),
        dz.reshape(-1),
        h.dtype.type(1),
    )
    return dh, dz


def _jobs(x: Array) -> int:
    return -(-x.size // ELEMENTS)


def _flat(x: Array, like: Array) -> Array:
    """x in the shape and dtype of ``like``, contiguous and flat."""
    return plain(np.broadcast_to(x, like.shape), like.dtype).reshape(-1)


def gelu_constants(x: Array) -> tuple[np.floating[Any], ...]:
    real = x.dtype.type
    return real(GELU_SLOPE), real(GELU_CUBIC), real(GELU_FLAT), real(1)


@register_jitable
def clipped(x: Any, flat: Any) -> Any:
    """x between −flat and flat; NaN stays NaN."""
    v = -flat if x < -flat else x
    return flat if v > flat else v


@register_jitable
def gelu_at(x: Any, slope: Any, cubic: Any, flat: Any, one: Any) -> Any:
    """x σ(2c(x + 0.044715x³)), flat beyond ±64, where x³ might overflow."""
    v = clipped(x, flat)
    return x * sigmoid(slope * (v + cubic * (v * v * v)), one)


@register_jitable
def gelu_and_slope_at(x: Any, slope: Any, cubic: Any, flat: Any, one: Any) -> Any:
    """(gelu(x), gelu′(x)); gelu′ = σ + x σ(1 − σ) a′."""
    v = clipped(x, flat)
    a = slope * (v + cubic * (v * v * v))
    s, t = sigmoid(a, one), sigmoid(-a, one)
    return x * s, s + v * (slope * (one + (one + one + one) * cubic * v * v)) * (s * t)


# Each loop runs over slices from 0: an index that might be negative would need a check, and keep the loop
# from vectorising.


@compiled
def _gelu(lo, hi, x, y, slope, cubic, flat, one):  # type: ignore[no-untyped-def]
    share = slice(lo * ELEMENTS, hi * ELEMENTS)
    x, y = x[share], y[share]
    for i in range(x.size):
        y[i] = gelu_at(x[i], slope, cubic, flat, one)


@compiled
def _gelu_vjp(lo, hi, x, dy, dx, slope, cubic, flat, one):  # type: ignore[no-untyped-def]
    share = slice(lo * ELEMENTS, hi * ELEMENTS)
    x, dy, dx = x[share], dy[share], dx[share]
    for i in range(x.size):
        _, d = gelu_and_slope_at(x[i], slope, cubic, flat, one)
        dx[i] = dy[i] * d


@compiled
def _glu(lo, hi, h, z, y, one):  # type: ignore[no-untyped-def]
    share = slice(lo * ELEMENTS, hi * ELEMENTS)
    h, z, y = h[share], z[share], y[share]
    for i in range(h.size):
        y[i] = h[i] * sigmoid(z[i], one)


@compiled
def _glu_vjp(lo, hi, h, z, dy, dh, dz, one):  # type: ignore[no-untyped-def]
    share = slice(lo * ELEMENTS, hi * ELEMENTS)
    h, z, dy, dh, dz = h[share], z[share], dy[share], dh[share], dz[share]
    for i in range(h.size):
        s, t = sigmoid(z[i], one), sigmoid(-z[i], one)
        dh[i] = dy[i] * s
        dz[i] = dy[i] * h[i] * (s * t)
