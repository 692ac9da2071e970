"""One sequence layer: norm, SSM, activation and gate, skip. Source: upstream's SequenceLayer.

prenorm:  out = x + mix(ssm(norm(x)))        postnorm:  out = norm(x + mix(ssm(x)))
Derivation: docs/derivations/block.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Conditions, Engine, Implementation, Pair
from s5ref.model.mix import Masks, MixResiduals
from s5ref.nn.norm import Running
from s5ref.ssm.ssm import SSMOptions, SSMResiduals, ssm, ssm_vjp
from s5ref.tree import described, prefixed, subtree


@dataclass(frozen=True)
class BlockOptions:
    """What kind of layer the parameters describe."""

    ssm: SSMOptions
    mix: Pair
    gelu: Callable[[Engine], Pair]
    batch_norm: bool
    prenorm: bool
    bn_momentum: float


@described
class BlockOut(NamedTuple):
    """y (N, L, H), the final state of the SSM (N, S), the running statistics ({} with LayerNorm)."""

    y: Array
    state: Array
    statistics: dict[str, Array]


class BlockResiduals(NamedTuple):
    """Residuals of `block`."""

    norm: Any
    ssm: SSMResiduals
    mix: MixResiduals


def block(
    params: Leaves,
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Leaves,
    masks: Masks = (None, None),
    x0: Array | None = None,
) -> tuple[BlockOut, BlockResiduals]:
    """One layer. params: seq.*, norm.*, out1.*/out2.*; x (N, L, H); masks (N, 1, H), of packed rows (S, 1,
    H), or None; x0 (N, S) or None.
    """
    if options.prenorm:
        u, norm_residuals, statistics = normalise(params, x, options, call, statistics)
    else:
        u = x
    (y, state), ssm_residuals = ssm(subtree(params, "seq"), u, options.ssm, call, x0)
    if call.segments is not None:
        first, second = (None if mask is None else call.segments.spread(mask[:, 0]) for mask in masks)
        masks = first, second
    y, mix_residuals = options.mix.value(params, y, masks, options.gelu(call.engine), call)
    y += x
    if not options.prenorm:
        y, norm_residuals, statistics = normalise(params, y, options, call, statistics)
    return BlockOut(y, state, dict(statistics)), BlockResiduals(norm_residuals, ssm_residuals, mix_residuals)


def block_vjp(
    residuals: BlockResiduals, d: tuple[Array, Array | None], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    dy, dstate = d
    if not options.prenorm:
        dy, dnorm = normalise_vjp(residuals.norm, dy, options, call)
    dmix, dssm = options.mix.vjp(residuals.mix, dy, options.gelu(call.engine), call)
    dseq, du, dx0 = ssm_vjp(residuals.ssm, (dssm, dstate), options.ssm, call)
    if options.prenorm:
        du, dnorm = normalise_vjp(residuals.norm, du, options, call)
    return prefixed("seq", dseq) | dnorm | dmix, dy + du, dx0


def composed(options: BlockOptions, conditions: Conditions) -> Implementation:
    """The implementation that every engine has: `block`, through the engine's kernels."""
    return Implementation("composed", "one kernel of the engine after the other", block, block_vjp)


def normalise(
    params: Leaves, x: Array, options: BlockOptions, call: Call, statistics: Leaves
) -> tuple[Array, Any, Leaves]:
    """The layer's norm of x, what its vjp needs, and the running statistics after it."""
    scale, bias = params["norm.scale"], params["norm.bias"]
    if not options.batch_norm:
        y, residuals = call.engine.layer_norm.value(x, scale, bias)
        return y, residuals, statistics
    running = Running(statistics["norm.mean"], statistics["norm.var"])
    (y, running), residuals = call.engine.batch_norm.value(
        x, scale, bias, running, options.bn_momentum, call.training and call.grid.everyone, call.valid
    )
    return y, residuals, {"norm.mean": running.mean, "norm.var": running.var}


def normalise_vjp(
    residuals: Any, dy: Array, options: BlockOptions, call: Call
) -> tuple[Array, dict[str, Array]]:
    """(dx, {dscale, dbias})."""
    if options.batch_norm:
        dx, dscale, dbias = call.engine.batch_norm.vjp(residuals, dy, call.grid.everyone)
    else:
        dx, dscale, dbias = call.engine.layer_norm.vjp(residuals, dy)
    return dx, {"norm.scale": dscale, "norm.bias": dbias}
