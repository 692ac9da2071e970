"""Mistakes of layers, models, optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.model import block as block_text
from s5ref.model import mix
from s5ref.model.model import Model
from s5ref.model.streaming import Streaming
from s5ref.nn import activation
from s5ref.nn.windows import WindowResiduals
from s5ref.segments import Segments
from s5ref.ssm import ssm as ssm_text
from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.mutants.mutant import Change, Mutant, mutant
from s5ref.verification.conformance.stages.forms import PAIRS

GROUPS = "optim.adamw:group_table"
BLOCK, BLOCK_VJP = "model.block:block", "model.block:block_vjp"


def _neighbour(step: Any, self: Streaming, state: Any, u: Array) -> Any:
    """in step mode a layer is given the state of the layer before it"""
    return step(self, state._replace(states=(*state.states[-1:], *state.states[:-1])), u)


def _overwritten(vjp: Any, residuals: Any, d: Any, *given: Any) -> Any:
    """in the backward pass the saved states of the last layer's scan stand in for those of every layer"""
    last = residuals.layers[-1].ssm.forward.scan

    def one(layer: Any) -> Any:
        scan = layer.ssm.forward.scan._replace(x=last.x)
        return layer._replace(ssm=layer.ssm._replace(forward=layer.ssm.forward._replace(scan=scan)))

    return vjp(residuals._replace(layers=[one(layer) for layer in residuals.layers]), d, *given)


def _matches_nothing(group_table: Any, names: Any, config: Any) -> Any:
    """log_step is in no group of its own: it takes the regular rate and decay

    As after a misspelt pattern.
    """
    table = group_table(names, config)
    regular = next(group for group in table.values() if group.name == "regular")
    return {name: regular if name.endswith("log_step") else group for name, group in table.items()}


def _decayed(group_table: Any, names: Any, config: Any) -> Any:
    """your update decays Lambda, log_step and B, which take no decay"""
    table = group_table(names, config)
    return {name: replace(group, weight_decay=config.weight_decay) for name, group in table.items()}


def _unmasked(valid: Any, self: Model, *where: Any) -> None:
    """padding enters the reverse scan and the statistics: upstream's behaviour, not the masked one"""


def _erf(gelu_tanh: Any, x: Array) -> Any:
    """your GELU is the erf form, S5's is the tanh form"""
    return activation.gelu_erf(x)


def _erf_vjp(vjp: Any, *given: Any) -> Any:
    return activation.gelu_erf_vjp(*given)


def _unbiased(batch_norm: Any, *args: Any) -> Any:
    """your BatchNorm keeps the unbiased variance (PyTorch's), S5 the biased one"""
    (y, running), residuals = batch_norm(*args)
    if residuals.count is not None:
        n = residuals.count / np.maximum(residuals.count - 1, 1)
        old = args[4] * args[3].var
        running = running._replace(var=old + n * (running.var - old))
    return (y, running), residuals


def _one_activation(options: Any) -> Any:
    return property(lambda self: replace(self.config, activation="half_glu2").block_options())


def _per_step(dropout: Any, x: Array, mask: Array | None) -> Any:
    """your dropout mask changes from step to step; S5's is one per example and feature

    The given mask, turned over the features.
    """
    if mask is None or x.ndim != 3:
        return dropout(x, mask)
    return x * np.concatenate([np.roll(mask, k, axis=-1) for k in range(x.shape[1])], axis=1)


def _first_for_second(half_glu2: Any, *given: Any) -> Any:
    """your half_glu2 gates gelu(x), as half_glu1 does; it must gate x itself"""
    return mix.half_glu1(*given)


def _first_for_second_vjp(vjp: Any, *given: Any) -> Any:
    return mix.half_glu1_vjp(*given)


def _coupled(adamw: Any, params: Any, grads: Any, moments: Any, count: int, groups: Any, rates: Any) -> Any:
    """your weight decay goes into the gradient (Adam with L2), not beside it (AdamW)"""
    grads = {name: g + groups[name].weight_decay * params[name] for name, g in grads.items()}
    groups = {name: replace(group, weight_decay=0.0) for name, group in groups.items()}
    return adamw(params, grads, moments, count, groups, rates)


class _WholeRows(Segments):
    """Each step has the cotangents of all sequences of its row."""

    def spread(self, x: Array) -> Array:
        N, L = self.ids.shape
        rows = np.zeros((N, 1, x.shape[-1]), x.dtype)
        np.add.at(rows, self.first // L, x[:, None])
        return rows


def _of_whole_rows(pool_mean: Any, x: Array, where: Any) -> Any:
    """in packed rows your mean is that of the whole row; it must be that of each sequence"""
    if not isinstance(where, Segments):
        return pool_mean(x, where)
    N, L = where.ids.shape
    row = where.first // L
    y, residuals = pool_mean(x, np.bincount(row, where.lengths, N))
    return y[row], residuals._replace(segments=_WholeRows(*where))


def _norm_twice(
    block: Any, params: Any, x: Array, options: Any, call: Any, statistics: Any, *more: Any
) -> Any:
    """your norm serves twice, before the SSM and on the output of the layer"""
    out, residuals = block(params, x, replace(options, prenorm=True), call, statistics, *more)
    y, again, running = block_text.normalise(params, out.y, options, call, out.statistics)
    return out._replace(y=y, statistics=dict(running)), residuals._replace(norm=(residuals.norm, again))


def _norm_twice_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    once, again = residuals.norm
    dy, of_output = block_text.normalise_vjp(again, d[0], options, call)
    dparams, dx, dx0 = vjp(residuals._replace(norm=once), (dy, d[1]), replace(options, prenorm=True), call)
    return {name: leaf + of_output.get(name, 0) for name, leaf in dparams.items()}, dx, dx0


def _norm_between(
    block: Any, params: Any, x: Array, options: Any, call: Any, statistics: Any, *more: Any
) -> Any:
    """your norm serves twice, in its place and on the output of the SSM, before the activation

    Its running statistics are those of its own place.
    """

    def mix(params: Any, y: Array, *given: Any) -> Any:
        y, norm, _ = block_text.normalise(params, y, options, call, statistics)
        y, residuals = options.mix.value(params, y, *given)
        return y, (norm, residuals)

    return block(params, x, replace(options, mix=options.mix._replace(value=mix)), call, statistics, *more)


def _norm_between_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    of_output: dict[str, Array] = {}

    def mix_vjp(residuals: Any, dy: Array, *given: Any) -> Any:
        norm, of_mix = residuals
        dmix, dy = options.mix.vjp(of_mix, dy, *given)
        dy, dnorm = block_text.normalise_vjp(norm, dy, options, call)
        of_output.update(dnorm)
        return dmix, dy

    dparams, dx, dx0 = vjp(residuals, d, replace(options, mix=options.mix._replace(vjp=mix_vjp)), call)
    return {name: leaf + of_output.get(name, 0) for name, leaf in dparams.items()}, dx, dx0


def _no_norm(normalise: Any, params: Any, x: Array, options: Any, call: Any, statistics: Any) -> Any:
    """your layer has no norm"""
    return x, params["norm.scale"], statistics


def _no_norm_vjp(vjp: Any, residuals: Any, dy: Array, options: Any, call: Any) -> Any:
    zero = np.zeros_like(residuals)
    return dy, {"norm.scale": zero, "norm.bias": zero}


def _no_skip(
    block: Any, params: Any, x: Array, options: Any, call: Any, statistics: Any,
    masks: Any = (None, None), x0: Array | None = None,
) -> Any:  # fmt: skip
    """your layer has no skip connection: its input is not added to its output"""
    norm = None
    if options.prenorm:
        x, norm, statistics = block_text.normalise(params, x, options, call, statistics)
    (y, state), of_ssm = ssm_text.ssm(subtree(params, "seq"), x, options.ssm, call, x0)
    if call.segments is not None:
        masks = tuple(None if mask is None else call.segments.spread(mask[:, 0]) for mask in masks)
    y, of_mix = options.mix.value(params, y, masks, options.gelu(call.engine), call)
    if not options.prenorm:
        y, norm, statistics = block_text.normalise(params, y, options, call, statistics)
    return block_text.BlockOut(y, state, dict(statistics)), block_text.BlockResiduals(norm, of_ssm, of_mix)


def _no_skip_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    dy = d[0]
    dnorm: dict[str, Array] = {}
    if not options.prenorm:
        dy, dnorm = block_text.normalise_vjp(residuals.norm, dy, options, call)
    dmix, dy = options.mix.vjp(residuals.mix, dy, options.gelu(call.engine), call)
    dseq, dx, dx0 = ssm_text.ssm_vjp(residuals.ssm, (dy, d[1]), options.ssm, call)
    if options.prenorm:
        dx, dnorm = block_text.normalise_vjp(residuals.norm, dx, options, call)
    return prefixed("seq", dseq) | dnorm | dmix, dx, dx0


def _first(pool_last: Any, x: Array, where: Any) -> Any:
    """your pooling takes the first step where it must take the last"""
    one = np.ones(len(x), int)
    return pool_last(x, where._replace(lengths=0 * where.lengths + 1) if isinstance(where, Segments) else one)


def _first_of_window(pool_windows: Any, x: Array, window: Any, valid: Array | None) -> Any:
    """your event pooling takes the first step of each window where it must take the last"""
    if window.mode != "last":
        return pool_windows(x, window, valid)
    inside = np.ones_like(x[:1, :, :1]) if valid is None else valid.astype(x.dtype)
    weight = inside * (np.arange(x.shape[1]) % window.stride == 0)[None, :, None]
    y = x[:, :: window.stride] * weight[:, :: window.stride]
    return y, WindowResiduals(weight, window.stride)


def _not_conjugated(adamw: Any, params: Any, grads: Any, *more: Any) -> Any:
    """your update moves complex leaves along the conjugate of their gradient: imaginary parts go uphill"""

    def conjugate(name: str, g: Array) -> Array:
        if name.rpartition(".")[2] in PAIRS:
            return np.asarray(g * np.array([1, -1], g.dtype))
        return np.negative(g) if name.endswith("Lambda_im") else g

    return adamw(params, {name: conjugate(name, g) for name, g in grads.items()}, *more)


NETWORKS = (
    mutant("M01", "state of another layer", "step", ("model.streaming:Streaming.step", _neighbour)),
    mutant("M07", "two chained scans", "model", ("model.stack:stack_vjp", _overwritten)),
    mutant("M15", "a group that matches nothing", "update", (GROUPS, _matches_nothing)),
    mutant("M16", "decayed state space", "update", (GROUPS, _decayed)),
    mutant("M27", "padding leaks", "model", ("model.model:Model._valid", _unmasked)),
    mutant(
        "M31", "erf GELU", "layer",
        ("nn.activation:gelu_tanh", _erf), ("nn.activation:gelu_tanh_vjp", _erf_vjp),
    ),
    Mutant(
        "M32", "LayerNorm with 1e-5", "your LayerNorm adds 1e-5 to the variance, S5's adds 1e-6", "layer",
        (Change("s5ref.nn.norm:LAYER_NORM_EPS", lambda _: 1e-05),),
    ),
    mutant("M33", "unbiased running variance", "layer", ("nn.norm:batch_norm", _unbiased)),
    mutant("M34", "dropout per step", "layer", ("nn.dropout:dropout", _per_step)),
    mutant(
        "M35", "half_glu1 for half_glu2", "layer",
        ("model.mix:half_glu2", _first_for_second),
        ("model.mix:half_glu2_vjp", _first_for_second_vjp),
    ),
    mutant("M38", "coupled decay", "update", ("optim.adamw:adamw", _coupled)),
    Mutant(
        "M46", "state leaks into the next sequence",
        "in packed rows the state of one sequence enters the next one; it must begin anew", "model",
        (Change("s5ref.segments:Segments.resets", lambda _: property(lambda self: self.ids < -1)),),
    ),
    mutant("M47", "mean of a packed row", "model", ("nn.pool:pool_mean", _of_whole_rows)),
    mutant("M52", "norm twice", "layer", (BLOCK, _norm_twice), (BLOCK_VJP, _norm_twice_vjp)),
    mutant(
        "M53", "no norm", "layer",
        ("model.block:normalise", _no_norm), ("model.block:normalise_vjp", _no_norm_vjp),
    ),
    mutant("M54", "no skip", "layer", (BLOCK, _no_skip), (BLOCK_VJP, _no_skip_vjp)),
    mutant("M61", "first for last", "model", ("nn.pool:pool_last", _first)),
    mutant("M62", "complex leaves not conjugated", "update", ("optim.adamw:adamw", _not_conjugated)),
    mutant("M65", "first of a window", "model", ("nn.windows:pool_windows", _first_of_window)),
    mutant(
        "M66", "norm on the SSM's output too", "layer", (BLOCK, _norm_between), (BLOCK_VJP, _norm_between_vjp)
    ),
    Mutant(
        "M69", "activation not handed on",
        "your model does not hand its activation on: its layers have half_glu2, whatever it is asked for",
        "model", (Change("s5ref.model.model:Model.options", _one_activation),),
    ),
)  # fmt: skip
