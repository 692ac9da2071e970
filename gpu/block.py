"""A layer on a device: `s5ref.model.block`'s composition, with what follows the state readout in two passes
over memory (tail.py) and irregular sampling without arrays of Λ̄ and gain (irregular_ssm.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.engine import Call, Conditions, Implementation
from s5ref.gpu.irregular_scan import RULES
from s5ref.gpu.irregular_ssm import irregular_ssm, irregular_ssm_vjp
from s5ref.gpu.launch import Launcher
from s5ref.gpu.norm import batch_norm_by_moments
from s5ref.gpu.tail import ActivateResiduals, GateResiduals, activate, activate_vjp, gate, gate_vjp
from s5ref.model import mix
from s5ref.model.block import BlockOptions, BlockOut, normalise, normalise_vjp
from s5ref.model.mix import Masks
from s5ref.nn.norm import Running
from s5ref.ssm.ssm import ssm_without_feedthrough, ssm_without_feedthrough_vjp
from s5ref.tree import prefixed, subtree

GATED = {mix.gelu_only: None, mix.half_glu1: "g", mix.half_glu2: "y", mix.full_glu: "out1"}  # h of h σ(z)
TAIL = "What follows the state readout is two passes over memory"


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
    name, why = "fused", f"{TAIL}."
    in_kernel = conditions.irregular and options.ssm.discretization in RULES
    if in_kernel:
        name = "fused, multipliers made in the kernel"
        why = f"{TAIL}, and the scan computes Λ̄ and gain of every step from its interval."
    elif conditions.irregular:
        name = "composed"
        why = (
            f"{TAIL}. The scan reads arrays (N, L, P) of Λ̄ and gain: under irregular sampling there are "
            f"kernels for the rules {', '.join(RULES.values())} only."
        )
    return Implementation(name, why, Layers(on, in_kernel).value, partial(layer_vjp, on, in_kernel))


class Layers:
    """The layers of one forward pass.

    In training, the kernel that writes the output of a layer also computes its moments. They are kept until
    the next layer, whose BatchNorm needs them if its input is that very array.
    """

    def __init__(self, on: Launcher, in_kernel: bool) -> None:
        self.on, self.in_kernel = on, in_kernel
        self.output: Array | None = None  # of the last layer
        self.moments: Array | None = None  # of ``output``

    def value(
        self,
        params: Mapping[str, Array],
        x: Array,
        options: BlockOptions,
        call: Call,
        statistics: Mapping[str, Array],
        masks: Masks = (None, None),
        x0: Array | None = None,
    ) -> tuple[BlockOut, LayerResiduals]:
        """One layer; arguments and value as of `s5ref.model.block.block`."""
        on, u, norm = self.on, x, None
        if options.prenorm:
            u, norm, statistics = self._normalise(params, x, options, call, statistics)
        through_state = partial(irregular_ssm, on) if self.in_kernel else ssm_without_feedthrough
        (v, state), ssm = through_state(subtree(params, "seq"), u, options.ssm, call, x0)
        erf = options.gelu(call.engine) is call.engine.gelu_erf
        (y, g), activated = activate(on, v, u, params["seq.D"], masks[0], erf)
        gated, linear = GATED[options.mix.value], call.engine.linear
        h, z, out1, out2 = (y if gated == "y" else g), None, None, None
        if gated is not None:
            z, out2 = linear.value(g, params["out2.kernel"], params["out2.bias"])
        if gated == "out1":
            h, out1 = linear.value(g, params["out1.kernel"], params["out1.bias"])
        needed, mask = options.batch_norm and call.training, masks[1] if gated else None
        (out, self.moments), gate_residuals = gate(on, h, z, mask, x, needed, call.valid)
        self.output = out
        if not options.prenorm:
            out, norm, statistics = self._normalise(params, out, options, call, statistics)
        residuals = LayerResiduals(norm, ssm, activated, gate_residuals, out1, out2)
        return BlockOut(out, state, dict(statistics)), residuals

    def _normalise(
        self,
        params: Mapping[str, Array],
        x: Array,
        options: BlockOptions,
        call: Call,
        statistics: Mapping[str, Array],
    ) -> tuple[Array, Any, Mapping[str, Array]]:
        """`s5ref.model.block.normalise`, by the moments of x where they are known."""
        if x is not self.output or self.moments is None:
            result: tuple[Array, Any, Mapping[str, Array]] = normalise(params, x, options, call, statistics)
            return result
        affine = params["norm.scale"], params["norm.bias"]
        before = Running(statistics["norm.mean"], statistics["norm.var"])
        (y, after), residuals = batch_norm_by_moments(
            self.on, self.moments, x, *affine, before, options.bn_momentum, call.valid
        )
        return y, residuals, {"norm.mean": after.mean, "norm.var": after.var}


def layer_vjp(
    on: Launcher,
    in_kernel: bool,
    residuals: LayerResiduals,
    d: tuple[Array, Array | None],
    options: BlockOptions,
    call: Call,
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    dout, dstate = d
    if not options.prenorm:
        dout, dnorm = normalise_vjp(residuals.norm, dout, options, call)
    gated, linear = GATED[options.mix.value], call.engine.linear
    dparams: dict[str, Array] = {}
    dg, dy = dout, None
    if gated is not None:
        dh, dz, _ = gate_vjp(on, residuals.gate, dout)
        dg, dkernel, dbias = linear.vjp(residuals.out2, dz)
        dparams |= {"out2.kernel": dkernel, "out2.bias": dbias}
        if gated == "out1":
            dh, dkernel, dbias = linear.vjp(residuals.out1, dh)
            dparams |= {"out1.kernel": dkernel, "out1.bias": dbias}
        if gated == "y":
            dy = dh
        else:
            dg += dh
    dv, du_direct, dD = activate_vjp(on, residuals.activate, (dy, dg))
    through_state = partial(irregular_ssm_vjp, on) if in_kernel else ssm_without_feedthrough_vjp
    dseq, du, dx0 = through_state(residuals.ssm, (dv, dstate), options.ssm, call)
    du += du_direct
    if options.prenorm:
        du, dnorm = normalise_vjp(residuals.norm, du, options, call)
    return prefixed("seq", dseq | {"D": dD}) | dnorm | dparams, dout + du, dx0
