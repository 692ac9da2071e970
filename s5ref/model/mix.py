"""What follows the SSM in a layer: GELU, gate and dropout, in the four forms of S5.

Each takes y (N, L, H), the two dropout masks (or None), the GELU, and the leaves out1, out2 that it needs.
Derivation: docs/derivations/mix.md. Source: upstream's SequenceLayer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Pair
from s5ref.nn.dropout import dropout
from s5ref.tree import prefixed

Masks = tuple[Array | None, Array | None]


class MixResiduals(NamedTuple):
    """Saved by every form; None where a form has no such part."""

    gelu: Any
    out1: Any
    out2: Any
    glu: Any
    masks: Masks


Mixed = tuple[Array, MixResiduals]
MixedVjp = tuple[dict[str, Array], Array]


def gelu_only(params: Leaves, y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """drop(gelu(y))."""
    g, residuals = gelu.value(y)
    return dropout(g, masks[0]), MixResiduals(residuals, None, None, None, masks)


def gelu_only_vjp(residuals: MixResiduals, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    return {}, gelu.vjp(residuals.gelu, dropout(dout, residuals.masks[0]))


def half_glu1(params: Leaves, y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """g = drop(gelu(y)); drop(g ∘ σ(g W + b))."""
    g, gelu_residuals = gelu.value(y)
    g = dropout(g, masks[0])
    z, out2_residuals = _dense(params, "out2", g, call)
    out, glu_residuals = call.engine.glu.value(g, z)
    return dropout(out, masks[1]), MixResiduals(gelu_residuals, None, out2_residuals, glu_residuals, masks)


def half_glu1_vjp(residuals: MixResiduals, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dg, dz = call.engine.glu.vjp(residuals.glu, dropout(dout, residuals.masks[1]))
    dg_gate, dout2 = _dense_vjp("out2", residuals.out2, dz, call)
    return dout2, gelu.vjp(residuals.gelu, dropout(dg + dg_gate, residuals.masks[0]))


def half_glu2(params: Leaves, y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """drop(y ∘ σ(drop(gelu(y)) W + b)): what is gated is y itself, not its GELU."""
    g, gelu_residuals = gelu.value(y)
    z, out2_residuals = _dense(params, "out2", dropout(g, masks[0]), call)
    out, glu_residuals = call.engine.glu.value(y, z)
    return dropout(out, masks[1]), MixResiduals(gelu_residuals, None, out2_residuals, glu_residuals, masks)


def half_glu2_vjp(residuals: MixResiduals, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dy, dz = call.engine.glu.vjp(residuals.glu, dropout(dout, residuals.masks[1]))
    dg, dout2 = _dense_vjp("out2", residuals.out2, dz, call)
    return dout2, dy + gelu.vjp(residuals.gelu, dropout(dg, residuals.masks[0]))


def full_glu(params: Leaves, y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """g = drop(gelu(y)); drop((g W₁ + b₁) ∘ σ(g W₂ + b₂))."""
    g, gelu_residuals = gelu.value(y)
    g = dropout(g, masks[0])
    h, out1_residuals = _dense(params, "out1", g, call)
    z, out2_residuals = _dense(params, "out2", g, call)
    out, glu_residuals = call.engine.glu.value(h, z)
    residuals = MixResiduals(gelu_residuals, out1_residuals, out2_residuals, glu_residuals, masks)
    return dropout(out, masks[1]), residuals


def full_glu_vjp(residuals: MixResiduals, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dh, dz = call.engine.glu.vjp(residuals.glu, dropout(dout, residuals.masks[1]))
    dg1, dout1 = _dense_vjp("out1", residuals.out1, dh, call)
    dg2, dout2 = _dense_vjp("out2", residuals.out2, dz, call)
    return dout1 | dout2, gelu.vjp(residuals.gelu, dropout(dg1 + dg2, residuals.masks[0]))


def _dense(params: Leaves, name: str, x: Array, call: Call) -> Any:
    return call.engine.linear.value(x, params[f"{name}.kernel"], params[f"{name}.bias"])


def _dense_vjp(name: str, residuals: Any, dy: Array, call: Call) -> tuple[Array, dict[str, Array]]:
    dx, dkernel, dbias = call.engine.linear.vjp(residuals, dy)
    return dx, prefixed(name, {"kernel": dkernel, "bias": dbias})
