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
    return _each(on, "gelu_tanh", x), GeluTanhResiduals(x)


def gelu_tanh_vjp(on: Launcher, residuals: GeluTanhResiduals, dy: Array) -> Array:
    """dy (σ + x σ(1 − σ) a′)."""
    return _each(on, "gelu_tanh_vjp", residuals.x, dy)


def gelu_erf(on: Launcher, x: Array) -> tuple[Array, GeluErfResiduals]:
    """x Φ(x)."""
    return _each(on, "gelu_erf", x), GeluErfResiduals(x)


def gelu_erf_vjp(on: Launcher, residuals: GeluErfResiduals, dy: Array) -> Array:
    """dy (Φ(x) + x φ(x))."""
    return _each(on, "gelu_erf_vjp", residuals.x, dy)


def glu(on: Launcher, h: Array, z: Array) -> tuple[Array, GluResiduals]:
    """h σ(z)."""
    return _each(on, "glu", h, z), GluResiduals(h, z)


def glu_vjp(on: Launcher, residuals: GluResiduals, dy: Array) -> tuple[Array, Array]:
    """(dy σ, dy h σ(1 − σ))."""
    dh: Array = on.like(residuals.h)
    return dh, _each(on, "glu_vjp", *residuals, dy, dh)


def _each(on: Launcher, name: str, *arrays: Array) -> Array:
    """A new array of the shape of ``arrays``, one thread per element; it is the kernel's last argument."""
    result: Array = on.like(arrays[0])
    size, kernel = int(result.size), on.kernel("elementwise", name, result.dtype)
    launch(kernel, blocks_for(size), THREADS, *map(contiguous, arrays), result, np.int64(size))
    return result
