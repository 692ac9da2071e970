"""What follows the SSM in a layer: GELU, gate and dropout, in the four forms of S5.

Each takes y (N, L, H), the two dropout masks (or None), the GELU, and the leaves out1, out2 that it needs.
Derivation: docs/derivations/mix.md. Source: upstream's SequenceLayer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.call import Call, Pair
from s5ref.nn.dropout import dropout
from s5ref.tree import prefixed

Masks = tuple[Array | None, Array | None]


class Mix(NamedTuple):
    """Saved by every form; None where a form has no such part."""

    gelu: Any
    out1: Any
    out2: Any
    glu: Any
    masks: Masks


Mixed = tuple[Array, Mix]
MixedVjp = tuple[dict[str, Array], Array]


def gelu_only(params: Mapping[str, Array], y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """drop(gelu(y))."""
    g, saved = gelu.value(y)
    return dropout(g, masks[0]), Mix(saved, None, None, None, masks)


def gelu_only_vjp(saved: Mix, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    return {}, gelu.vjp(saved.gelu, dropout(dout, saved.masks[0]))


def half_glu1(params: Mapping[str, Array], y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """g = drop(gelu(y)); drop(g ∘ σ(g W + b))."""
    g, saved_gelu = gelu.value(y)
    g = dropout(g, masks[0])
    z, saved_out2 = call.kernels.linear.value(g, params["out2.kernel"], params["out2.bias"])
    out, saved_glu = call.kernels.glu.value(g, z)
    return dropout(out, masks[1]), Mix(saved_gelu, None, saved_out2, saved_glu, masks)


def half_glu1_vjp(saved: Mix, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dg, dz = call.kernels.glu.vjp(saved.glu, dropout(dout, saved.masks[1]))
    dg_gate, dout2 = _dense_vjp("out2", saved.out2, dz, call)
    return dout2, gelu.vjp(saved.gelu, dropout(dg + dg_gate, saved.masks[0]))


def half_glu2(params: Mapping[str, Array], y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """drop(y ∘ σ(drop(gelu(y)) W + b)): what is gated is y itself, not its GELU."""
    g, saved_gelu = gelu.value(y)
    z, saved_out2 = call.kernels.linear.value(
        dropout(g, masks[0]), params["out2.kernel"], params["out2.bias"]
    )
    out, saved_glu = call.kernels.glu.value(y, z)
    return dropout(out, masks[1]), Mix(saved_gelu, None, saved_out2, saved_glu, masks)


def half_glu2_vjp(saved: Mix, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dy, dz = call.kernels.glu.vjp(saved.glu, dropout(dout, saved.masks[1]))
    dg, dout2 = _dense_vjp("out2", saved.out2, dz, call)
    return dout2, dy + gelu.vjp(saved.gelu, dropout(dg, saved.masks[0]))


def full_glu(params: Mapping[str, Array], y: Array, masks: Masks, gelu: Pair, call: Call) -> Mixed:
    """g = drop(gelu(y)); drop((g W₁ + b₁) ∘ σ(g W₂ + b₂))."""
    g, saved_gelu = gelu.value(y)
    g = dropout(g, masks[0])
    h, saved_out1 = call.kernels.linear.value(g, params["out1.kernel"], params["out1.bias"])
    z, saved_out2 = call.kernels.linear.value(g, params["out2.kernel"], params["out2.bias"])
    out, saved_glu = call.kernels.glu.value(h, z)
    return dropout(out, masks[1]), Mix(saved_gelu, saved_out1, saved_out2, saved_glu, masks)


def full_glu_vjp(saved: Mix, dout: Array, gelu: Pair, call: Call) -> MixedVjp:
    dh, dz = call.kernels.glu.vjp(saved.glu, dropout(dout, saved.masks[1]))
    dg1, dout1 = _dense_vjp("out1", saved.out1, dh, call)
    dg2, dout2 = _dense_vjp("out2", saved.out2, dz, call)
    return dout1 | dout2, gelu.vjp(saved.gelu, dropout(dg1 + dg2, saved.masks[0]))


def _dense_vjp(name: str, saved: Any, dy: Array, call: Call) -> tuple[Array, dict[str, Array]]:
    dx, dkernel, dbias = call.kernels.linear.vjp(saved, dy)
    return dx, prefixed(name, {"kernel": dkernel, "bias": dbias})
