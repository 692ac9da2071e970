"""What follows the state readout of a layer, fused into two passes: kernels/tail.cu.

`activate` is D∘u, GELU and the first dropout; `gate` is h σ(z), the second dropout and the skip. Masks are
`s5ref.nn.dropout.dropout_mask`'s, (N, 1, H), or None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import rows_of, total


class Activate(NamedTuple):
    """Saved by `activate`."""

    y: Array
    u: Array
    D: Array
    mask: Array | None


def activate(
    on: Launcher, v: Array, u: Array, D: Array, mask: Array | None
) -> tuple[tuple[Array, Array], Activate]:
    """y = v + D∘u and gelu(y) ∘ mask. v, u (N, L, H); D (H,)."""
    v, u, D = map(contiguous, (v, u, D))
    y, g, cut = on.like(v), on.like(v), rows_of(v)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "activate", v.dtype)
    cut.launch(kernel, v, u, D, _rows(mask), y, g, rows, np.int64(v.shape[1]), H, slab)
    return (y, g), Activate(y, u, D, mask)


def activate_vjp(on: Launcher, saved: Activate, d: tuple[Array | None, Array]) -> tuple[Array, Array, Array]:
    """(dv, du, dD) from (dy, dg); dy may be None: nothing but the GELU uses y."""
    y, u, D, mask = saved
    direct, dg = None if d[0] is None else contiguous(d[0]), contiguous(d[1])
    cut = rows_of(y)
    dv, du, partial = on.like(y), on.like(y), on.empty((cut.slabs, cut.channels), y.dtype)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "activate_vjp", y.dtype)
    arguments = (y, u, D, _rows(mask), dg, direct, dv, du, partial)
    cut.launch(kernel, *arguments, rows, np.int64(y.shape[1]), H, slab)
    return dv, du, total(on, partial)


class Gate(NamedTuple):
    """Saved by `gate`."""

    h: Array
    z: Array
    mask: Array | None


def gate(on: Launcher, h: Array, z: Array, mask: Array | None, skip: Array) -> tuple[Array, Gate]:
    """h σ(z) ∘ mask + skip, all (N, L, H)."""
    h, z, skip = map(contiguous, (h, z, skip))
    out, cut = on.like(h), rows_of(h)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "gate", h.dtype)
    cut.launch(kernel, h, z, _rows(mask), skip, out, rows, np.int64(h.shape[1]), H, slab)
    return out, Gate(h, z, mask)


def gate_vjp(on: Launcher, saved: Gate, dout: Array) -> tuple[Array, Array, Array]:
    """(dh, dz, dskip); dskip is dout itself."""
    h, z, mask = saved
    dh, dz, cut = on.like(h), on.like(h), rows_of(h)
    rows, H, slab = cut.sizes
    kernel = on.kernel("tail", "gate_vjp", h.dtype)
    cut.launch(kernel, h, z, _rows(mask), contiguous(dout), dh, dz, rows, np.int64(h.shape[1]), H, slab)
    return dh, dz, dout


def _rows(mask: Array | None) -> Array | None:
    return None if mask is None else contiguous(mask)
