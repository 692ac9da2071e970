"""GELU and the gated linear unit in one pass over memory. Stand in for s5ref.nn.activation.

The loops are also those of a fused layer's tiles. They run flat over contiguous arrays of one shape, and
LLVM vectorises them: over rows, the end of every row would go one element at a time, which is expensive
where an element costs an exponential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable

from s5ref.arrays import Array
from s5ref.cpu.compile import REAL, broadcast, compiled, device_function
from s5ref.cpu.exp import normal, sigmoid
from s5ref.cpu.parallel import run
from s5ref.nn import activation
from s5ref.nn.activation import (
    GELU_CUBIC,
    GELU_FLAT,
    GELU_SLOPE,
    NORMAL_DENSITY,
    GeluErfResiduals,
    GeluTanhResiduals,
    GluResiduals,
)

ELEMENTS = 1 << 15  # of a job


def gelu_tanh(x: Array) -> tuple[Array, GeluTanhResiduals]:
    """x σ(2c(x + 0.044715x³)). Dtypes other than float32 and float64 run the reference."""
    if x.dtype not in REAL:
        return activation.gelu_tanh(x)
    [y] = _each(_gelu, x)
    return y, GeluTanhResiduals(x)


def gelu_tanh_vjp(residuals: GeluTanhResiduals, dy: Array) -> Array:
    """dy (σ + x σ(1 − σ) a′), recomputing σ."""
    if residuals.x.dtype not in REAL:
        return activation.gelu_tanh_vjp(residuals, dy)
    [dx] = _each(_gelu_vjp, residuals.x, dy)
    return dx


def gelu_erf(x: Array) -> tuple[Array, GeluErfResiduals]:
    """x Φ(x). Dtypes other than float32 and float64 run the reference."""
    if x.dtype not in REAL:
        return activation.gelu_erf(x)
    [y] = _each(_gelu_erf, x)
    return y, GeluErfResiduals(x)


def gelu_erf_vjp(residuals: GeluErfResiduals, dy: Array) -> Array:
    """dy (Φ(x) + x φ(x)), recomputing Φ."""
    if residuals.x.dtype not in REAL:
        return activation.gelu_erf_vjp(residuals, dy)
    [dx] = _each(_gelu_erf_vjp, residuals.x, dy)
    return dx


def glu(h: Array, z: Array) -> tuple[Array, GluResiduals]:
    """h σ(z)."""
    if h.dtype not in REAL:
        return activation.glu(h, z)
    [y] = _each(_glu, h, z)
    return y, GluResiduals(h, z)


def glu_vjp(residuals: GluResiduals, dy: Array) -> tuple[Array, Array]:
    """(dy σ, dy h σ(1 − σ)), recomputing σ."""
    if residuals.h.dtype not in REAL:
        return activation.glu_vjp(residuals, dy)
    dh, dz = _each(_glu_vjp, *residuals, dy, results=2)
    return dh, dz


def _each(loop: Callable[..., None], *given: Array, results: int = 1) -> list[Array]:
    """New arrays of the shape and dtype of the first one given, which ``loop`` writes: it takes all that are
    given and then the new ones, of each the same part, flat and contiguous.
    """
    like = given[0]
    made = [np.empty(like.shape, like.dtype) for _ in range(results)]
    flat = [x.reshape(-1) for x in (*(broadcast(x, like) for x in given), *made)]

    def job(lo: int, hi: int) -> None:
        loop(*(x[lo * ELEMENTS : hi * ELEMENTS] for x in flat))

    run(job, -(-like.size // ELEMENTS))
    return made


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


@device_function
def gelu_loop(x, y):  # type: ignore[no-untyped-def]
    """y = gelu(x)."""
    x, y, real = x.reshape(-1), y.reshape(-1), x.dtype.type
    slope, cubic, flat, one = real(GELU_SLOPE), real(GELU_CUBIC), real(GELU_FLAT), real(1)
    for i in range(x.size):
        y[i] = gelu_at(x[i], slope, cubic, flat, one)


@device_function
def gelu_and_slope_loop(x, y, dy):  # type: ignore[no-untyped-def]
    """y = gelu(x), dy = gelu′(x)."""
    x, y, dy, real = x.reshape(-1), y.reshape(-1), dy.reshape(-1), x.dtype.type
    slope, cubic, flat, one = real(GELU_SLOPE), real(GELU_CUBIC), real(GELU_FLAT), real(1)
    for i in range(x.size):
        y[i], dy[i] = gelu_and_slope_at(x[i], slope, cubic, flat, one)


@register_jitable
def gelu_erf_and_slope_at(x: Any, density: Any, flat: Any, one: Any) -> Any:
    """(x Φ(x), Φ(x) + x φ(x)), flat beyond ±64, where x² might overflow."""
    v = clipped(x, flat)
    cdf, bell = normal(v, one)
    return x * cdf, cdf + v * (bell * density)


@device_function
def gelu_erf_loop(x, y):  # type: ignore[no-untyped-def]
    """y = x Φ(x)."""
    x, y, real = x.reshape(-1), y.reshape(-1), x.dtype.type
    flat, one = real(GELU_FLAT), real(1)
    for i in range(x.size):
        y[i] = x[i] * normal(clipped(x[i], flat), one)[0]


@device_function
def gelu_erf_and_slope_loop(x, y, dy):  # type: ignore[no-untyped-def]
    """y = x Φ(x), dy its slope."""
    x, y, dy, real = x.reshape(-1), y.reshape(-1), dy.reshape(-1), x.dtype.type
    density, flat, one = real(NORMAL_DENSITY), real(GELU_FLAT), real(1)
    for i in range(x.size):
        y[i], dy[i] = gelu_erf_and_slope_at(x[i], density, flat, one)


@device_function
def activate(erf, x, y):  # type: ignore[no-untyped-def]
    """y = gelu(x). ``erf``: whether it is that of the error function, and not that of tanh."""
    if erf:
        gelu_erf_loop(x, y)
    else:
        gelu_loop(x, y)


@device_function
def activate_with_slope(erf, x, y, dy):  # type: ignore[no-untyped-def]
    """y = gelu(x), dy = gelu′(x). ``erf``: as of `activate`."""
    if erf:
        gelu_erf_and_slope_loop(x, y, dy)
    else:
        gelu_and_slope_loop(x, y, dy)


@device_function
def gelu_vjp_loop(dh, dg, slope, gates_y, dy):  # type: ignore[no-untyped-def]
    """dy = (dh + dg) slope, or dh + dg slope where the gate acts on y."""
    dh, dg, slope, dy = dh.reshape(-1), dg.reshape(-1), slope.reshape(-1), dy.reshape(-1)
    if gates_y:
        for i in range(dh.size):
            dy[i] = dh[i] + dg[i] * slope[i]
    else:
        for i in range(dh.size):
            dy[i] = (dh[i] + dg[i]) * slope[i]


@device_function
def glu_loop(h, z, y):  # type: ignore[no-untyped-def]
    """y = h σ(z)."""
    h, z, y, one = h.reshape(-1), z.reshape(-1), y.reshape(-1), h.dtype.type(1)
    for i in range(h.size):
        y[i] = h[i] * sigmoid(z[i], one)


@device_function
def glu_vjp_loop(h, z, dy, dh, dz):  # type: ignore[no-untyped-def]
    """dh = dy σ(z), dz = dy h σ(z)(1 − σ(z))."""
    h, z, dy, one = h.reshape(-1), z.reshape(-1), dy.reshape(-1), h.dtype.type(1)
    dh, dz = dh.reshape(-1), dz.reshape(-1)
    for i in range(h.size):
        s, t = sigmoid(z[i], one), sigmoid(-z[i], one)
        dh[i] = dy[i] * s
        dz[i] = dy[i] * h[i] * (s * t)


_gelu, _gelu_erf, _glu, _glu_vjp = (
    compiled(loop.py_func) for loop in (gelu_loop, gelu_erf_loop, glu_loop, glu_vjp_loop)
)


@compiled
def _gelu_vjp(x, dy, dx):  # type: ignore[no-untyped-def]
    """dx = dy gelu′(x)."""
    real = x.dtype.type
    slope, cubic, flat, one = real(GELU_SLOPE), real(GELU_CUBIC), real(GELU_FLAT), real(1)
    for i in range(x.size):
        dx[i] = dy[i] * gelu_and_slope_at(x[i], slope, cubic, flat, one)[1]


@compiled
def _gelu_erf_vjp(x, dy, dx):  # type: ignore[no-untyped-def]
    """dx = dy (Φ(x) + x φ(x))."""
    real = x.dtype.type
    density, flat, one = real(NORMAL_DENSITY), real(GELU_FLAT), real(1)
    for i in range(x.size):
        dx[i] = dy[i] * gelu_erf_and_slope_at(x[i], density, flat, one)[1]
