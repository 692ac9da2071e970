"""One sequence layer: norm, SSM, activation and gate, skip. Source: upstream's SequenceLayer.

prenorm:  out = x + mix(ssm(norm(x)))        postnorm:  out = norm(x + mix(ssm(x)))
Derivation: docs/derivations/block.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.call import Call, Kernels, Pair
from s5ref.model.mix import Masks, Mix
from s5ref.nn.norm import Running
from s5ref.ssm.ssm import SSM, SSMOptions, ssm, ssm_vjp
from s5ref.tree import prefixed, subtree


@dataclass(frozen=True)
class BlockOptions:
    """What kind of layer the parameters describe."""

    ssm: SSMOptions
    mix: Pair
    gelu: Callable[[Kernels], Pair]
    batch_norm: bool
    prenorm: bool
    bn_momentum: float


class BlockOut(NamedTuple):
    """y (N, L, H), the final state of the SSM (N, P'), the running statistics ({} with LayerNorm); moments:
    what the engine's own BatchNorm of y needs, if it is at hand already.
    """

    y: Array
    state: Array
    statistics: dict[str, Array]
    moments: Any = None


class Block(NamedTuple):
    """Saved by `block`."""

    norm: Any
    ssm: SSM
    mix: Mix


def block(
    params: Mapping[str, Array],
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Mapping[str, Array],
    masks: Masks = (None, None),
    x0: Array | None = None,
    moments: Any = None,
) -> tuple[BlockOut, Block]:
    """One layer. params: seq.*, norm.*, out1.*/out2.*; x (N, L, H); masks (N, 1, H) or None; x0 (N, P') or
    None; moments: those of x, from the layer before.
    """
    if options.prenorm:
        u, saved_norm, statistics = normalise(params, x, options, call, statistics, moments)
    else:
        u = x
    (y, state), saved_ssm = ssm(subtree(params, "seq"), u, options.ssm, call, x0)
    y, saved_mix = options.mix.value(params, y, masks, options.gelu(call.kernels), call)
    y += x
    if not options.prenorm:
        y, saved_norm, statistics = normalise(params, y, options, call, statistics)
    return BlockOut(y, state, dict(statistics)), Block(saved_norm, saved_ssm, saved_mix)


def block_vjp(
    saved: Block, d: tuple[Array, Array | None], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    dy, dstate = d
    if not options.prenorm:
        dy, dnorm = normalise_vjp(saved.norm, dy, options, call)
    dmix, dssm = options.mix.vjp(saved.mix, dy, options.gelu(call.kernels), call)
    dseq, du, dx0 = ssm_vjp(saved.ssm, (dssm, dstate), options.ssm, call)
    if options.prenorm:
        du, dnorm = normalise_vjp(saved.norm, du, options, call)
    return prefixed("seq", dseq) | dnorm | dmix, dy + du, dx0


def normalise(
    params: Mapping[str, Array],
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Mapping[str, Array],
    moments: Any = None,
) -> tuple[Array, Any, Mapping[str, Array]]:
    """The layer's norm of x, what its vjp needs, and the running statistics after it."""
    scale, bias = params["norm.scale"], params["norm.bias"]
    if not options.batch_norm:
        y, saved = call.kernels.layer_norm.value(x, scale, bias)
        return y, saved, statistics
    known = () if moments is None else (moments,)  # of engines that make them
    running = Running(statistics["norm.mean"], statistics["norm.var"])
    (y, running), saved = call.kernels.batch_norm.value(
        x, scale, bias, running, options.bn_momentum, call.training, call.valid, *known
    )
    return y, saved, {"norm.mean": running.mean, "norm.var": running.var}


def normalise_vjp(saved: Any, dy: Array, options: BlockOptions, call: Call) -> tuple[Array, dict[str, Array]]:
    """(dx, {dscale, dbias})."""
    pair = call.kernels.batch_norm if options.batch_norm else call.kernels.layer_norm
    dx, dscale, dbias = pair.vjp(saved, dy)
    return dx, {"norm.scale": dscale, "norm.bias": dbias}
