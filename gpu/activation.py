"""The two GELUs and the gated linear unit on a device: kernels/elementwise.cu. The pairs are
`s5ref.nn.activation`'s.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import THREADS, Launcher, blocks_for, contiguous, launch
from s5ref.nn.activation import GeluErfResiduals, GeluTanhResiduals, GluResiduals


def gelu_tanh(on: Launcher, x: Array) -> tuple[Array, GeluTanhResiduals]:
    """x σ(2c(x + 0.044715 x³))."""
    y = on.like(x)
    _each(on, "gelu_tanh", x, y)
    return y, GeluTanhResiduals(x)


def gelu_tanh_vjp(on: Launcher, residuals: GeluTanhResiduals, dy: Array) -> Array:
    """dy (σ + x σ(1 − σ) a′)."""
    dx: Array = on.like(residuals.x)
    _each(on, "gelu_tanh_vjp", residuals.x, dy, dx)
    return dx


def gelu_erf(on: Launcher, x: Array) -> tuple[Array, GeluErfResiduals]:
    """x Φ(x)."""
    y = on.like(x)
    _each(on, "gelu_erf", x, y)
    return y, GeluErfResiduals(x)


def gelu_erf_vjp(on: Launcher, residuals: GeluErfResiduals, dy: Array) -> Array:
    """dy (Φ(x) + x φ(x))."""
    dx: Array = on.like(residuals.x)
    _each(on, "gelu_erf_vjp", residuals.x, dy, dx)
    return dx


def glu(on: Launcher, h: Array, z: Array) -> tuple[Array, GluResiduals]:
    """h σ(z)."""
    y = on.like(h)
    _each(on, "glu", h, z, y)
    return y, GluResiduals(h, z)


def glu_vjp(on: Launcher, residuals: GluResiduals, dy: Array) -> tuple[Array, Array]:
    """(dy σ, dy h σ(1 − σ))."""
    dh, dz = on.like(residuals.h), on.like(residuals.z)
    _each(on, "glu_vjp", residuals.h, residuals.z, dy, dh, dz)
    return dh, dz


def _each(on: Launcher, name: str, *arrays: Array) -> None:
    """Launches one thread per element. The last arrays are the results, which are new and contiguous."""
    size = int(arrays[0].size)
    kernel = on.kernel("elementwise", name, arrays[0].dtype)
    launch(kernel, blocks_for(size), THREADS, *map(contiguous, arrays), np.int64(size))
