"""A layer on a device: `s5ref.model.block`'s composition, with what follows the state readout in two passes
over memory (tail.py), and irregular sampling without arrays of Λ̄ and gain (irregular.py). Saved values are
the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s5ref.arrays import Array
from s5ref.engine import Call
from s5ref.gpu import irregular
from s5ref.gpu.launch import Launcher
from s5ref.gpu.tail import Activate, Gate, activate, activate_vjp, gate, gate_vjp
from s5ref.model import mix
from s5ref.model.block import BlockOptions, BlockOut, BlockResiduals, normalise, normalise_vjp
from s5ref.model.mix import Masks, MixResiduals
from s5ref.nn.activation import GeluErfResiduals, GeluTanhResiduals, GluResiduals
from s5ref.ssm.ssm import ssm_without_feedthrough, ssm_without_feedthrough_vjp
from s5ref.tree import prefixed, subtree

GATED = {mix.gelu_only: None, mix.half_glu1: "g", mix.half_glu2: "y", mix.full_glu: "out1"}  # h of h σ(z)


def block(
    on: Launcher,
    params: Mapping[str, Array],
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Mapping[str, Array],
    masks: Masks = (None, None),
    x0: Array | None = None,
    moments: Any = None,
) -> tuple[BlockOut, BlockResiduals]:
    """One layer; arguments and values as of `s5ref.model.block.block`."""
    u, norm_residuals = x, None
    if options.prenorm:
        u, norm_residuals, statistics = normalise(params, x, options, call, statistics, moments)
    seq = subtree(params, "seq")
    if irregular.takes(options.ssm, call):
        (v, state), ssm_residuals = irregular.ssm_without_feedthrough(on, seq, u, options.ssm, call, x0)
    else:
        (v, state), ssm_residuals = ssm_without_feedthrough(seq, u, options.ssm, call, x0)
    erf = options.gelu(call.engine) is call.engine.gelu_erf
    (y, g), _ = activate(on, v, u, params["seq.D"], masks[0], erf)
    gated, linear = GATED[options.mix.value], call.engine.linear
    h, z, out1, out2, glu = (y if gated == "y" else g), None, None, None, None
    if gated is not None:
        z, out2 = linear.value(g, params["out2.kernel"], params["out2.bias"])
    if gated == "out1":
        h, out1 = linear.value(g, params["out1.kernel"], params["out1.bias"])
    if z is not None:
        glu = GluResiduals(h, z)
    counted = options.batch_norm and call.training
    (out, moments), _ = gate(on, h, z, masks[1] if gated else None, x, counted, call.valid)
    if not options.prenorm:
        out, norm_residuals, statistics = normalise(params, out, options, call, statistics, moments)
        moments = None
    mix_residuals = MixResiduals(GeluErfResiduals(y) if erf else GeluTanhResiduals(y), out1, out2, glu, masks)
    return BlockOut(out, state, dict(statistics), moments), BlockResiduals(
        norm_residuals, ssm_residuals, mix_residuals
    )


def block_vjp(
    on: Launcher, residuals: BlockResiduals, d: tuple[Array, Array | None], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    dout, dstate = d
    if not options.prenorm:
        dout, dnorm = normalise_vjp(residuals.norm, dout, options, call)
    gelu, out1, out2, glu, masks = residuals.mix
    gated, linear = GATED[options.mix.value], call.engine.linear
    dparams: dict[str, Array] = {}
    dg, direct = dout, None
    if gated is not None:
        dh, dz, _ = gate_vjp(on, Gate(glu.h, glu.z, masks[1]), dout)
        dg, dkernel, dbias = linear.vjp(out2, dz)
        dparams |= {"out2.kernel": dkernel, "out2.bias": dbias}
        if gated == "out1":
            dh, dkernel, dbias = linear.vjp(out1, dh)
            dparams |= {"out1.kernel": dkernel, "out1.bias": dbias}
        if gated == "y":
            direct = dh
        else:
            dg += dh
    u, D = residuals.ssm.u, residuals.ssm.params["D"]
    erf = isinstance(gelu, GeluErfResiduals)
    dv, du_direct, dD = activate_vjp(on, Activate(gelu.x, u, D, masks[0], erf), (direct, dg))
    if irregular.took(residuals.ssm):
        dseq, du, dx0 = irregular.ssm_without_feedthrough_vjp(
            on, residuals.ssm, (dv, dstate), options.ssm, call
        )
    else:
        dseq, du, dx0 = ssm_without_feedthrough_vjp(residuals.ssm, (dv, dstate), options.ssm, call)
    du += du_direct
    if options.prenorm:
        du, dnorm = normalise_vjp(residuals.norm, du, options, call)
    return prefixed("seq", dseq | {"D": dD}) | dnorm | dparams, dout + du, dx0
