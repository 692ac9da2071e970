"""What follows the state readout of a layer, fused into two passes: kernels/tail.cu.

`activate` is y = v + D∘u, GELU and the first dropout: (y, g). `gate` is h σ(z), the second dropout and the
skip. They serve every form of `s5ref.model.mix`; what lies between them are matrix products:

    gelu        gate(g, None, None, x)
    half_glu1   gate(g, g W₂ + b₂, mask, x)
    half_glu2   gate(y, g W₂ + b₂, mask, x)
    full_glu    gate(g W₁ + b₁, g W₂ + b₂, mask, x)

Masks are `s5ref.nn.dropout.dropout_mask`'s, (N, 1, H), or None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.norm import empty_moments
from s5ref.gpu.rows import rows_of, total


class Activate(NamedTuple):
    """Residuals of `activate`."""

    y: Array
    u: Array
    D: Array
    mask: Array | None
    erf: bool


def activate(
    on: Launcher, v: Array, u: Array, D: Array, mask: Array | None, erf: bool = False
) -> tuple[tuple[Array, Array], Activate]:
    """y = v + D∘u and gelu(y) ∘ mask, the GELU's tanh or erf form. v, u (N, L, H); D (H,)."""
    v, u, D = map(contiguous, (v, u, D))
    y, g, cut = on.like(v), on.like(v), rows_of(v)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "activate", v.dtype)
    cut.launch(kernel, v, u, D, contiguous(mask), y, g, np.int32(erf), rows, np.int64(v.shape[1]), H, slab)
    return (y, g), Activate(y, u, D, mask, erf)


def activate_vjp(
    on: Launcher, residuals: Activate, d: tuple[Array | None, Array]
) -> tuple[Array, Array, Array]:
    """(dv, du, dD) from (dy, dg); dy may be None: nothing but the GELU uses y."""
    y, u, D, mask, erf = residuals
    direct, dg = contiguous(d[0]), contiguous(d[1])
    cut = rows_of(y)
    dv, du, partial = on.like(y), on.like(y), on.empty((cut.slabs, cut.channels), y.dtype)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "activate_vjp", y.dtype)
    arguments = (y, u, D, contiguous(mask), dg, direct, dv, du, partial, np.int32(erf))
    cut.launch(kernel, *arguments, rows, np.int64(y.shape[1]), H, slab)
    return dv, du, total(on, partial)


class Gate(NamedTuple):
    """Residuals of `gate`; h and z are None where there was no gate."""

    h: Array | None
    z: Array | None
    mask: Array | None


def gate(
    on: Launcher,
    h: Array,
    z: Array | None,
    mask: Array | None,
    skip: Array,
    moments: bool = False,
    valid: Array | None = None,
) -> tuple[tuple[Array, Array | None], Gate]:
    """h σ(z) ∘ mask + skip, all (N, L, H); without σ(z) if z is None. With ``moments`` also what
    `s5ref.gpu.norm.moments_of` would make of it and ``valid``, to the same bits.
    """
    h, z, skip = contiguous(h), contiguous(z), contiguous(skip)
    out, cut = on.like(h), rows_of(h)
    partial = empty_moments(on, h) if moments else None
    which = contiguous(valid) if moments else None
    rows, H, slab = cut.sizes
    arguments = (h, z, contiguous(mask), skip, which, out, partial)
    cut.launch(on.kernel("tail", "gate", h.dtype), *arguments, rows, np.int64(h.shape[1]), H, slab)
    return (out, partial), Gate(None if z is None else h, z, mask)


def gate_vjp(on: Launcher, residuals: Gate, dout: Array) -> tuple[Array, Array | None, Array]:
    """(dh, dz, dskip); dskip is dout itself."""
    h, z, mask = residuals
    dh, dz, cut = on.like(dout), None if z is None else on.like(dout), rows_of(dout)
    rows, H, slab = cut.sizes
    arguments = (h, z, contiguous(mask), contiguous(dout), dh, dz)
    cut.launch(on.kernel("tail", "gate_vjp", dout.dtype), *arguments, rows, np.int64(dout.shape[1]), H, slab)
    return dh, dz, dout
