"""What follows the state readout of a layer, fused into two passes: kernels/tail.cu.

`activate` is y = v + D∘u, GELU and the first dropout: (y, g). `gate` is h σ(z), the second dropout and the
skip. Together with matrix products they compute every form of `s5ref.model.mix`:

    gelu        gate(g, None, None, x)
    half_glu1   gate(g, g W₂ + b₂, mask, x)
    half_glu2   gate(y, g W₂ + b₂, mask, x)
    full_glu    gate(g W₁ + b₁, g W₂ + b₂, mask, x)

Masks are `s5ref.nn.dropout.dropout_mask`'s, (N, 1, H), or None.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.norm import empty_moments
from s5ref.gpu.rows import rows_of, total


class ActivateResiduals(NamedTuple):
    """Residuals of `activate`."""

    y: Array
    u: Array
    D: Array
    mask: Array | None
    erf: bool


def activate(
    on: Launcher, v: Array, u: Array, D: Array, mask: Array | None, erf: bool = False
) -> tuple[tuple[Array, Array], ActivateResiduals]:
    """y = v + D∘u and gelu(y) ∘ mask, the GELU's tanh or erf form. v, u (N, L, H); D (H,)."""
    v, u, D = map(contiguous, (v, u, D))
    y, g = on.like(v), on.like(v)
    _launch(on, "activate", v, v, u, D, contiguous(mask), y, g, np.int32(erf))
    return (y, g), ActivateResiduals(y, u, D, mask, erf)


def activate_vjp(
    on: Launcher, residuals: ActivateResiduals, d: tuple[Array | None, Array]
) -> tuple[Array, Array, Array]:
    """(dv, du, dD) from (dy, dg); dy is None where only the GELU uses y."""
    y, u, D, mask, erf = residuals
    direct, dg = contiguous(d[0]), contiguous(d[1])
    cut = rows_of(y)
    dv, du, partial = on.like(y), on.like(y), on.empty((cut.slabs, cut.channels), y.dtype)
    _launch(on, "activate_vjp", y, y, u, D, contiguous(mask), dg, direct, dv, du, partial, np.int32(erf))
    return dv, du, total(on, partial)


class GateResiduals(NamedTuple):
    """Residuals of `gate`; without a gate h and z are None."""

    h: Array | None
    z: Array | None
    mask: Array | None


def gate(
    on: Launcher, h: Array, z: Array | None, mask: Array | None, skip: Array, moments: bool = False,
    valid: Array | None = None,
) -> tuple[tuple[Array, Array | None], GateResiduals]:  # fmt: skip
    """out = h σ(z) ∘ mask + skip, all (N, L, H); without σ(z) if z is None. Returns out and, if
    ``moments``, the same bits as `s5ref.gpu.norm.moments_of` of out and ``valid``; otherwise None.
    """
    h, z, skip = contiguous(h), contiguous(z), contiguous(skip)
    out, partial = on.like(h), empty_moments(on, h) if moments else None
    which = contiguous(valid) if moments else None
    _launch(on, "gate", h, h, z, contiguous(mask), skip, which, out, partial)
    return (out, partial), GateResiduals(None if z is None else h, z, mask)


def gate_vjp(on: Launcher, residuals: GateResiduals, dout: Array) -> tuple[Array, Array | None, Array]:
    """(dh, dz, dskip); dskip is dout itself."""
    h, z, mask = residuals
    dh, dz = on.like(dout), None if z is None else on.like(dout)
    _launch(on, "gate_vjp", dout, h, z, contiguous(mask), contiguous(dout), dh, dz)
    return dh, dz, dout


def _launch(on: Launcher, name: str, like: Array, *arguments: Any) -> None:
    """Launches a kernel over the rows of arrays (N, L, H) such as ``like``."""
    cut = rows_of(like)
    rows, H, slab = cut.sizes
    cut.launch(on.kernel("tail", name, like.dtype), *arguments, rows, np.int64(like.shape[1]), H, slab)
