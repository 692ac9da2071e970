"""A whole sequence layer in one pass over memory: out = x + mix(ssm(norm(x))), and its vjp.

`why_not_fused` says which layers. A batch of many sequences is parallel enough; a smaller one is cut into
chunks along time, see `s5ref.cpu.chunking`.

What is kept for the backward pass depends on size alone. The input and the state at the start of every
chunk always are. In training so are the states, and of y and z the one that takes the larger product,
unless they are larger than `s5ref.cpu.chunking.KEEP`. The rest is computed again, to the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_finite, check_shape, complex_dtype
from s5ref.cpu import memory
from s5ref.cpu.block_backward import Backward, Sums, backward
from s5ref.cpu.block_forward import Forward, Layer, forward
from s5ref.cpu.chunking import Chunks, Section, irregular_powers_of, keeps, powers_of, sections_of, tasks_of
from s5ref.cpu.compile import writeable
from s5ref.cpu.linear import in_order
from s5ref.cpu.norm import normalise_vjp, statistics_of, steps_of
from s5ref.cpu.parallel import run_phases
from s5ref.cpu.scratch import with_scratch
from s5ref.cpu.weights import Discretised, transposed, weights, weights_vjp
from s5ref.engine import Call, Conditions, Implementation
from s5ref.model import block as block_text
from s5ref.model.block import BlockOptions, BlockOut, composed
from s5ref.model.mix import Masks, gelu_only
from s5ref.nn.norm import BatchNormResiduals, Running
from s5ref.ssm.intervals import intervals_after
from s5ref.ssm.resets import resets_after
from s5ref.ssm.ssm import DISCRETIZATIONS, checked
from s5ref.tree import subtree

GROUPS = 32  # of chunks, whose sums are combined in order


class FusedResiduals(NamedTuple):
    """Left by `fused` for `fused_vjp`: the layer and what it was made of; its input x with the moments of
    the norm before the SSM, mean 0 and rstd 1 unless that is BatchNorm; what the norm after the layer
    leaves, or None; the valid steps (N, L); the intervals and resets (D, N, L); whether the initial state is
    ``given``; the masks (sequences, 2, H) and ids of `Forward`; of every section the chunks; and what need
    not be computed again (else without rows): states (N, L, S), y and z (N, L, H).
    """

    params: Leaves
    layer: Layer
    discretised: Discretised
    norm: BatchNormResiduals
    after: Any
    valid: Array
    tau: Array
    resets: Array
    given: bool
    masks: Array
    ids: Array
    sections: list[Section]
    states: Array
    y: Array
    z: Array


def fused(
    params: Leaves,
    x: Array,
    options: BlockOptions,
    call: Call,
    statistics: Leaves,
    masks: Masks = (None, None),
    x0: Array | None = None,
) -> tuple[BlockOut, FusedResiduals]:
    """One layer that `why_not_fused` takes; arguments as of `s5ref.model.block.block`.

    Parameters
    ----------
    params : seq.*, norm.*, out2.*
    x : (N, L, H)
    masks : two of (N, 1, H), of packed rows (sequences, 1, H), or None
    x0 : (N, P') complex, or None: the initial state

    Raises
    ------
    S5Error
        Shapes or dtypes do not fit together, or the normalised input is not finite. A state that overflows is
        returned as it is.
    """
    checked(
        subtree(params, "seq"),
        np.zeros_like(x[:, :1]),
        options.ssm,
        replace(call, valid=None, intervals=None, resets=None),
        x0,
    )
    N, L, H = x.shape
    norm, bias, statistics = _norm(params, writeable(x, x.dtype), options, call, statistics)
    x, valid = norm.x, steps_of(x, call.valid)
    tau, resets = _intervals(x, options, call), _resets(x, options, call)
    layer, discretised = weights(params, norm, bias, options, call, any(mask is not None for mask in masks))
    ids, sequences = np.arange(N)[:, None], N
    if call.segments is not None:
        ids, sequences = writeable(call.segments.ids, ids.dtype), len(call.segments.lengths)
    drop = np.ones((sequences, 2, H), x.dtype)
    for i, mask in enumerate(masks[:1] if options.mix.value is gelu_only else masks):
        if mask is not None:
            drop[:, i] = mask[:, 0]
    S, P2 = layer.C.shape[0], layer.B.shape[1]
    keep = call.training and call.keep_residuals and keeps(N * L * (S + H) * x.itemsize)
    none = np.empty((0, 0, 0), x.dtype)
    states = memory.empty((N, L, S), x.dtype) if keep else none
    z_is_kept = S <= H and len(layer.W) > 0
    y = none if z_is_kept or not keep else memory.empty(x.shape, x.dtype)
    z = memory.empty(x.shape, x.dtype) if keep and z_is_kept else none
    out = memory.empty(x.shape, x.dtype)
    carry = layer.s[None, :P2] if x0 is None else writeable(x0, complex_dtype(x)).view(x.dtype)
    sections = []
    for bounds in sections_of(N, L, whole=keep or S > P2):
        number, steps = len(bounds) - 1, int(bounds[-1] - bounds[0])
        starts, ends = np.zeros((N, number, S), x.dtype), np.empty((N, number, S), x.dtype)
        starts[:, 0, :P2], starts[:, -1, P2:] = carry, layer.s[P2:]
        powers = np.empty((N, 1, 0), complex_dtype(x))
        if number > 1:
            powers = _powers(discretised.Lambda_bar, tau, resets, bounds)
        rows = states if keep or number == 1 else memory.empty((N, steps, S), x.dtype)
        chunks = Chunks(bounds, starts, ends, powers.view(x.dtype), from_last=False)
        arrays = Forward(x, valid, tau, resets, drop, ids, rows, y, z, out)
        kernel = with_scratch(forward, layer, -(-steps // number))
        run_phases(kernel, tasks_of(N, number, N * number), layer, chunks, arrays)
        carry = ends[:, -1, :P2]
        sections.append(Section(bounds, starts, powers))
    state = np.ascontiguousarray(carry).view(complex_dtype(x))
    if not np.isfinite(state).all():  # a bad input, or a state that overflows
        check_finite("ssm", "u", (x - norm.mean) * layer.factor + layer.bias)
    after = None
    if not options.prenorm:
        out, after, statistics = block_text.normalise(params, out, options, call, statistics)
    residuals = FusedResiduals(
        params, layer, discretised, norm, after, valid, tau, resets, x0 is not None, drop, ids, sections,
        states, y, z,
    )  # fmt: skip
    return BlockOut(out, state, dict(statistics)), residuals


def fused_vjp(
    residuals: FusedResiduals, d: tuple[Array, Array | None], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, dx, dx0) from (dy, dstate or None)."""
    (
        params, layer, discretised, norm, after, valid, tau, resets, given, masks, ids, sections, states, y,
        z,
    ) = residuals  # fmt: skip
    x, kept = norm.x, len(states) > 0
    N, _L, H = x.shape
    dy = d[0]
    dnorm: dict[str, Array] = {}
    if after is not None:
        dy, dnorm = block_text.normalise_vjp(after, dy, options, call)
    dy = dy[:, :1] if dy.strides[1] == 0 else dy  # a mean over time gives every step the same cotangent
    dy = writeable(dy, x.dtype)
    S, P2 = layer.C.shape[0], layer.B.shape[1]
    dx = memory.empty(x.shape, x.dtype)
    carry = np.zeros((N, P2), x.dtype)
    if d[1] is not None:
        carry = writeable(d[1], complex_dtype(x)).view(x.dtype)
    items = N * (len(sections[0].bounds) - 1)  # chunks of a section
    groups = min(GROUPS, items)
    W, b, W1, b1 = (part.shape for part in (layer.W, layer.b[0], layer.W1, layer.b1[0]))
    sums = Sums(
        *(
            memory.empty((groups, *shape), x.dtype)
            for shape in ((H, P2), (H, S), W, b, *[(H,)] * 3, (S,), W1, b1)
        )
    )
    for part in sums:
        part[:] = 0
    da, dLambda_bar = np.empty((items, 2, P2), x.dtype), np.zeros((2, P2), x.dtype)
    back = transposed(layer)
    for bounds, starts, powers in reversed(sections):
        number, steps = len(bounds) - 1, int(bounds[-1] - bounds[0])
        carries, ends = np.zeros(starts.shape, x.dtype), np.empty(starts.shape, x.dtype)
        carries[:, -1, :P2] = carry
        again = states if kept or number == 1 else memory.empty((N, steps, S), x.dtype)
        dstates = states[:0] if number == 1 else memory.empty((N, steps, S), x.dtype)
        chunks = Chunks(bounds, carries, ends, np.conj(powers).view(x.dtype), from_last=True)
        arrays = Backward(
            back, x, valid, tau, resets, masks, ids, y, z, starts, again, kept, dy, dx, dstates, da, sums
        )
        kernel = with_scratch(backward, layer, -(-steps // number))
        run_phases(kernel, tasks_of(N, number, groups), layer, chunks, arrays)
        carry, last = ends[:, 0, :P2], ends[:, -1, P2:]
        dLambda_bar += in_order(da)
    dB, dC, dW, db, dD, dbias, dscale, ds, dW1, db1 = map(in_order, sums)
    if not given:
        ds[:P2] += in_order(carry)
    ds[P2:] += in_order(last)
    dseq = weights_vjp(params, discretised, (dLambda_bar, dB, dC.T, dD, ds), options.ssm, len(tau) > 0)
    if not layer.row_norm:
        normalise_vjp(norm, dbias, dscale, dy, dx, call.grid.everyone)
    dnorm = dnorm or {"norm.scale": dscale, "norm.bias": dbias}
    dparams = dseq | dnorm
    dgates = {"out1.kernel": dW1, "out1.bias": db1, "out2.kernel": dW, "out2.bias": db}
    dparams |= {name: d for name, d in dgates.items() if name in params}
    return dparams, dx, np.ascontiguousarray(carry).view(complex_dtype(x))


def _norm(
    params: Leaves, x: Array, options: BlockOptions, call: Call, statistics: Leaves
) -> tuple[BatchNormResiduals, Array, Leaves]:
    """What a layer does to its input x: the moments and scale of its norm, its bias, and the running
    statistics after it. LayerNorm has no moments over rows; where the norm comes last x stays as it is.
    """
    scale, bias = params["norm.scale"], params["norm.bias"]
    if options.prenorm and options.batch_norm:
        running = Running(statistics["norm.mean"], statistics["norm.var"])
        norm, running = statistics_of(
            x, scale, running, options.bn_momentum, call.training and call.grid.everyone, call.valid
        )
        return norm, bias, {"norm.mean": running.mean, "norm.var": running.var}
    zero, one = np.zeros(x.shape[2], x.dtype), np.ones(x.shape[2], x.dtype)
    if not options.prenorm:
        scale, bias = one, zero
    return BatchNormResiduals(x, zero, one, scale, None, None), bias, statistics


def _intervals(x: Array, options: BlockOptions, call: Call) -> Array:
    """Those of every direction (D, N, L) before a step of x (N, L, H) in that direction; of none where the
    sampling is regular.
    """
    if call.intervals is None:
        return np.empty((0, 0, 0), x.dtype)
    check_shape("ssm", "intervals", call.intervals, "N L", dict(zip("NL", x.shape, strict=False)))
    directions = [call.intervals]
    if options.ssm.bidirectional:
        directions.append(intervals_after(call.intervals, call.valid, call.resets))
    return np.stack(directions)


def _resets(x: Array, options: BlockOptions, call: Call) -> Array:
    """The steps (D, N, L) of x (N, L, H) with which an episode begins in every direction. Nothing enters the
    state from masked padding, so that zero stays zero there; a learned state has to begin after it.
    """
    resets = [call.resets]
    if options.ssm.bidirectional:
        resets.append(resets_after(call.resets, call.valid if options.ssm.learn_initial_state else None))
    return np.stack([np.zeros(x.shape[:2], bool) if flags is None else flags for flags in resets])


def _powers(rates: Array, tau: Array, resets: Array, bounds: Array) -> Array:
    """`Section.powers` by Λ̄ (P'), or by Z (P') and the intervals tau (D, N, L); resets (D, N, L)."""
    if len(tau):
        powers = irregular_powers_of(rates, tau, bounds)
    else:
        powers = np.tile(powers_of(rates, bounds), len(resets))[None]
    crossed = ~np.logical_or.reduceat(resets[:, :, : bounds[-1]], bounds[:-1], axis=2)  # (D, N, chunks)
    crossed = np.repeat(crossed.transpose(1, 2, 0), len(rates), axis=2)
    return np.where(crossed, powers, np.zeros_like(powers))


def layer(options: BlockOptions, conditions: Conditions) -> Implementation:
    """`fused`, or the reference's composition of this engine's kernels."""
    why = why_not_fused(options, conditions)
    if why:
        return replace(composed(options, conditions), why=why)
    return Implementation("fused", "one pass over memory, tile by tile", fused, fused_vjp)


def why_not_fused(options: BlockOptions, conditions: Conditions) -> str:
    """The reason why `fused` does not take a layer; "" if it does."""
    reasons = {
        "the hold needs the input of the step before": options.ssm.discretization.gains == 2,
        "the sampling is irregular, and the rule neither zoh nor dirac": conditions.irregular
        and options.ssm.discretization not in (DISCRETIZATIONS["zoh"], DISCRETIZATIONS["dirac"]),
        f"the dtype is {conditions.dtype}": conditions.dtype not in ("float32", "float64"),
        "other processes have other steps of the sequences": conditions.shared,
    }
    return next((why for why, holds in reasons.items() if holds), "")
