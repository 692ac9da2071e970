"""A whole sequence layer in one pass over memory. Stands in for s5ref.model.block.block.

Takes the layers of the recipes: prenorm, BatchNorm over all steps, half_glu1 or half_glu2 with the tanh GELU,
one or two directions, regular sampling, float32 or float64. Any other layer is the reference's composition of
this engine's kernels.

A batch of many sequences is parallel enough, one item each. A smaller one is cut into chunks along time, in
three stages: every chunk scans from zero, the carries run across the chunks, every chunk scans from its
carry.

What is kept for the backward pass depends on size alone. The input and the state at the start of every chunk
always are. In training so are the states, and of y and z the one that takes the larger product, unless they
are larger than `s5ref.cpu.waves.KEEP`. The rest is computed again, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, check_finite, complex_dtype
from s5ref.cpu import memory
from s5ref.cpu.block_backward import backward
from s5ref.cpu.block_forward import MEAN, RSTD, Layer, forward
from s5ref.cpu.compile import plain
from s5ref.cpu.linear import in_order
from s5ref.cpu.norm import moments, normalise_vjp
from s5ref.cpu.parallel import run_stages
from s5ref.cpu.room import Parts, in_room
from s5ref.cpu.waves import Wave, keeps, powers_of, stages_of, waves_of
from s5ref.cpu.weights import Discretised, correlation, transposed, weights, weights_vjp
from s5ref.engine import Call, Conditions, Implementation
from s5ref.engines import SEQUENTIAL
from s5ref.model.block import BlockOptions, BlockOut, composed
from s5ref.model.mix import Masks, half_glu1, half_glu2
from s5ref.nn.norm import BATCH_NORM_EPS

GROUPS = 32  # of items, whose sums are combined in order


class Fused(NamedTuple):
    """Residuals of `block`: the input, its moments, and what backward does not recompute (else no rows)."""

    params: Mapping[str, Array]
    layer: Layer
    x: Array
    count: int | None  # type: ignore[assignment]
    discretised: Discretised
    masks: Array
    waves: list[Wave]
    states: Array
    y: Array
    z: Array


def block(
    params: Mapping[str, Array],
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Mapping[str, Array],
    masks: Masks = (None, None),
    x0: Array | None = None,
) -> tuple[BlockOut, Fused]:
    """out = x + mix(ssm(norm(x)))."""
    x = plain(x, x.dtype)
    N, L, H = x.shape
    count = None
    mean, var = statistics["norm.mean"], statistics["norm.var"]
    if call.training:
        count = N * L
        batch_mean, batch_var = moments(x)
        m = options.bn_momentum
        statistics = {"norm.mean": m * mean + (1 - m) * batch_mean, "norm.var": m * var + (1 - m) * batch_var}
        mean, var = batch_mean, batch_var
    rstd = 1 / np.sqrt(var + x.dtype.type(BATCH_NORM_EPS))
    dropout = any(mask is not None for mask in masks)
    layer, discretised = weights(params, mean, rstd, options, call, dropout)
    drop = np.ones((N, 2, H), x.dtype)
    for i, mask in enumerate(masks):
        if mask is not None:
            drop[:, i] = mask[:, 0]
    S, P2 = layer.C.shape[0], layer.B.shape[1]
    keep = call.training and call.keep_residuals and keeps(N * L * (S + H) * x.itemsize)
    none = np.empty((0, 0, 0), x.dtype)
    states = memory.empty((N, L, S), x.dtype) if keep else none
    y = memory.empty(x.shape, x.dtype) if keep and S > H else none
    z = memory.empty(x.shape, x.dtype) if keep and S <= H else none
    out = memory.empty(x.shape, x.dtype)
    carry = np.zeros((N, P2), x.dtype)
    if x0 is not None:
        carry = plain(x0, complex_dtype(x)).view(x.dtype)
    waves = []
    for bounds in waves_of(N, L, one_wave=keep or S > P2):
        chunks, steps = len(bounds) - 1, int(bounds[-1] - bounds[0])
        starts, ends = np.zeros((N, chunks, S), x.dtype), np.empty((N, chunks, S), x.dtype)
        starts[:, 0, :P2] = carry
        powers = powers_of(discretised.Lambda_bar, bounds) if chunks > 1 else discretised.Lambda_bar[None]
        rows = states if keep or chunks == 1 else memory.empty((N, steps, S), x.dtype)
        run_stages(
            in_room(forward, layer, -(-steps // chunks)), stages_of(N, chunks, N * chunks),
            bounds, x, layer, drop, starts, ends, powers.view(x.dtype), rows, y, z, out,
        )  # fmt: skip
        carry = ends[:, -1, :P2]
        waves.append(Wave(bounds, starts, powers))
    state = np.ascontiguousarray(carry).view(complex_dtype(x))
    if not np.isfinite(state).all():  # a bad input, or a state that overflows
        check_finite("ssm", "u", params["norm.scale"] * rstd * (x - mean) + params["norm.bias"])
    residuals = Fused(params, layer, x, count, discretised, drop, waves, states, y, z)
    return BlockOut(out, state, dict(statistics)), residuals


def block_vjp(
    residuals: Fused, d: tuple[Array, Array | None], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    params, layer, x, count, discretised, drop, waves, states, y, z = residuals
    N, _L, H = x.shape
    dy = d[0][:, :1] if d[0].strides[1] == 0 else d[0]  # a mean over time gives every step the same cotangent
    dy = plain(dy, x.dtype)
    S, P2 = layer.C.shape[0], layer.B.shape[1]
    none = states[:0]
    dx = memory.empty(x.shape, x.dtype)
    carry = np.zeros((N, P2), x.dtype)
    if d[1] is not None:
        carry = plain(d[1], complex_dtype(x)).view(x.dtype)
    items = N * (len(waves[0].bounds) - 1)  # of a wave
    groups = min(GROUPS, items)
    sums = ((H, P2), (H, S), (H, H), (4, H))
    parts = Parts(*(memory.empty((groups, *shape), x.dtype) for shape in sums))
    for part in parts:
        part[:] = 0
    da, dLambda_bar = np.empty((items, 2, P2), x.dtype), np.zeros(P2 // 2, complex_dtype(x))
    back = transposed(layer)
    for bounds, starts, powers in reversed(waves):
        chunks, steps = len(bounds) - 1, int(bounds[-1] - bounds[0])
        carries, ends = np.zeros(starts.shape, x.dtype), np.empty(starts.shape, x.dtype)
        carries[:, -1, :P2] = carry
        kept = len(states) > 0
        again = states if kept or chunks == 1 else memory.empty((N, steps, S), x.dtype)
        dstates = none if chunks == 1 else memory.empty((N, steps, S), x.dtype)
        run_stages(
            in_room(backward, layer, -(-steps // chunks)), stages_of(N, chunks, groups),
            bounds, x, layer, back, drop, starts, np.conj(powers).view(x.dtype), again, kept, y, z,
            dy, dx, dstates, carries, ends, da, parts,
        )  # fmt: skip
        carry = ends[:, 0, :P2]
        dLambda_bar += correlation(in_order(da))
    dB, dC, dW, rows = map(in_order, parts)
    db, dD, dbias, dscale = rows
    dweights = dLambda_bar, dB, dC.T, dD
    dseq = weights_vjp(params, discretised, dweights, options.ssm)
    mean, rstd = layer.vectors[MEAN], layer.vectors[RSTD]
    normalise_vjp(x, mean, rstd, params["norm.scale"], count, dbias, dscale, dy, dx)
    dparams = dseq | {"norm.scale": dscale, "norm.bias": dbias, "out2.kernel": dW, "out2.bias": db}
    return dparams, dx, np.ascontiguousarray(carry).view(complex_dtype(x))


def layer(options: BlockOptions, conditions: Conditions) -> Implementation:
    """`block`, or the reference's composition of this engine's kernels."""
    why = why_not_fused(options, conditions)
    if why:
        return replace(composed(options, conditions), why=why)
    return Implementation("fused", "one pass over memory, tile by tile", block, block_vjp)


def why_not_fused(options: BlockOptions, conditions: Conditions) -> str:
    """The reason why `block` does not take a layer; "" if it does."""
    reasons = {
        "the norm comes after the layer": not options.prenorm,
        "LayerNorm; BatchNorm is fused": not options.batch_norm,
        "the activation is neither half_glu1 nor half_glu2": options.mix.value not in (half_glu1, half_glu2),
        "the GELU is that of the error function": options.gelu(SEQUENTIAL) is not SEQUENTIAL.gelu_tanh,
        "padding is masked": conditions.masked,
        "the sampling is irregular": conditions.irregular,
        f"the dtype is {conditions.dtype}": conditions.dtype not in ("float32", "float64"),
    }
    return next((why for why, holds in reasons.items() if holds), "")
