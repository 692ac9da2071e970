"""A layer on a device: `s5ref.model.block`'s composition, with what follows the state readout in two passes
over memory (tail.py) and irregular sampling without arrays of Λ̄ and gain (irregular_ssm.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Conditions, Implementation, Pair
from s5ref.gpu.irregular_scan import KERNELS, RULES
from s5ref.gpu.irregular_ssm import irregular_ssm, irregular_ssm_vjp
from s5ref.gpu.launch import Launcher
from s5ref.gpu.norm import batch_norm_by_moments, of_all
from s5ref.gpu.tail import ActivateResiduals, GateResiduals, activate, activate_vjp, gate, gate_vjp
from s5ref.model import mix
from s5ref.model.block import BlockOptions, BlockOut, composed, normalise, normalise_vjp
from s5ref.model.mix import Masks
from s5ref.nn.norm import Running
from s5ref.ssm.ssm import ssm_without_feedthrough, ssm_without_feedthrough_vjp
from s5ref.tree import prefixed, subtree

GATED = {mix.gelu_only: None, mix.half_glu1: "g", mix.half_glu2: "y", mix.full_glu: "out1"}  # h of h σ(z)
TAIL = "what follows the state readout takes two passes over memory"


class LayerResiduals(NamedTuple):
    """Residuals of `Layers.value`: those of its parts, and of the products with out1 and out2."""

    norm: Any
    ssm: Any
    activate: ActivateResiduals
    gate: GateResiduals
    out1: Any
    out2: Any


def layer(on: Launcher, options: BlockOptions, conditions: Conditions) -> Implementation:
    """How a device computes the layers of one pass through a model."""
    if conditions.packed:
        return replace(
            composed(options, conditions), why="rows are packed: a dropout mask belongs to a sequence"
        )
    if options.mix.value not in GATED:
        return replace(composed(options, conditions), why="the activation is none that tail.py computes")
    name, why = "fused", TAIL
    ssm = Pair(ssm_without_feedthrough, ssm_without_feedthrough_vjp)
    afresh = conditions.resets or options.ssm.learn_initial_state or conditions.shared
    if conditions.irregular and options.ssm.discretization in RULES and not afresh:
        name, why = f"{name}, multipliers made in the kernel", f"{TAIL}; the scan makes Λ̄ of the intervals"
        ssm = Pair(partial(irregular_ssm, on), partial(irregular_ssm_vjp, on))
    elif conditions.irregular:
        rules = f"{', '.join(KERNELS)} only, without resets, learned initial states and shared sequences"
        name, why = "composed", f"under irregular sampling there are kernels for {rules}; {TAIL}"
    layers = Layers(on, ssm)
    return Implementation(name, why, layers.value, layers.vjp)


class Layers:
    """The layers of one pass. ``ssm`` is the pair of the SSM without feedthrough.

    In training, the kernel that writes the output of a layer also computes its moments. They are kept until
    the next layer, whose BatchNorm uses them if its input is that very array.
    """

    def __init__(self, on: Launcher, ssm: Pair) -> None:
        self.on, self.ssm = on, ssm
        self.output: Array | None = None  # of the last layer, before its norm
        self.moments: Array | None = None  # of ``output``

    def value(
        self, params: Leaves, x: Array, options: BlockOptions, call: Call, statistics: Leaves,
        masks: Masks = (None, None), x0: Array | None = None,
    ) -> tuple[BlockOut, LayerResiduals]:  # fmt: skip
        """One layer; arguments and value as of `s5ref.model.block.block`."""
        on, linear, u, norm = self.on, call.engine.linear, x, None
        if options.prenorm:
            u, norm, statistics = self._normalise(params, x, options, call, statistics)
        (v, state), ssm = self.ssm.value(subtree(params, "seq"), u, options.ssm, call, x0)
        erf = options.gelu(call.engine) is call.engine.gelu_erf
        (y, g), activated = activate(on, v, u, params["seq.D"], masks[0], erf)
        gated = GATED[options.mix.value]
        h, z, mask, out1, out2 = (y if gated == "y" else g), None, None, None, None
        if gated is not None:
            z, out2 = linear.value(g, params["out2.kernel"], params["out2.bias"])
            mask = masks[1]
        if gated == "out1":
            h, out1 = linear.value(g, params["out1.kernel"], params["out1.bias"])
        needs_moments = options.batch_norm and call.training
        (out, self.moments), gate_residuals = gate(on, h, z, mask, x, needs_moments, call.valid)
        self.output = out
        if not options.prenorm:
            out, norm, statistics = self._normalise(params, out, options, call, statistics)
        residuals = LayerResiduals(norm, ssm, activated, gate_residuals, out1, out2)
        return BlockOut(out, state, dict(statistics)), residuals

    def vjp(
        self, residuals: LayerResiduals, d: tuple[Array, Array | None], options: BlockOptions, call: Call
    ) -> tuple[dict[str, Array], Array, Array]:
        """(dparams, dx, dx0) from (dy, dstate or None)."""
        (dout, dstate), on, linear = d, self.on, call.engine.linear
        dparams: dict[str, Array] = {}
        if not options.prenorm:
            dout, dparams = normalise_vjp(residuals.norm, dout, options, call)
        gated, dg, dy = GATED[options.mix.value], dout, None
        if gated is not None:
            dh, dz, _ = gate_vjp(on, residuals.gate, dout)
            dg, *dout2 = linear.vjp(residuals.out2, dz)
            dparams |= zip(("out2.kernel", "out2.bias"), dout2, strict=True)
            if gated == "out1":
                dh, *dout1 = linear.vjp(residuals.out1, dh)
                dparams |= zip(("out1.kernel", "out1.bias"), dout1, strict=True)
            if gated == "y":
                dy = dh
            else:
                dg += dh
        dv, du_direct, dD = activate_vjp(on, residuals.activate, (dy, dg))
        dseq, du, dx0 = self.ssm.vjp(residuals.ssm, (dv, dstate), options.ssm, call)
        du += du_direct
        if options.prenorm:
            du, dnorm = normalise_vjp(residuals.norm, du, options, call)
            dparams |= dnorm
        return prefixed("seq", dseq | {"D": dD}) | dparams, dout + du, dx0

    def _normalise(
        self, params: Leaves, x: Array, options: BlockOptions, call: Call, statistics: Leaves
    ) -> tuple[Array, Any, Leaves]:
        """`s5ref.model.block.normalise`, by the moments of x where they are known."""
        if x is not self.output or self.moments is None:
            return normalise(params, x, options, call, statistics)
        scale, bias, momentum = params["norm.scale"], params["norm.bias"], options.bn_momentum
        before = Running(statistics["norm.mean"], statistics["norm.var"])
        (y, after), residuals = batch_norm_by_moments(
            self.on, of_all(call.grid.everyone, self.moments), x, scale, bias, before, momentum, call.valid
        )
        return y, residuals, {"norm.mean": after.mean, "norm.var": after.var}
