"""Mistakes of layers, models, initialisation and the optimizer: M01 M07 M16 M21 M27 M31–M35 M38."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from s5ref import random
from s5ref.arrays import Array
from s5ref.model import mix, stack
from s5ref.model.model import Model
from s5ref.model.streaming import Streaming
from s5ref.nn import activation, dropout, norm
from s5ref.optim import adamw as optim
from s5ref.verification.conformance.mutants.mutant import Mutant, changed

_step, _arranged = Streaming.step, Model._valid
_stack_vjp, _batch_norm, _dropout = stack.stack_vjp, norm.batch_norm, dropout.dropout
_truncated, _table, _adamw = random.truncated_normal, optim.group_table, optim.adamw


def _neighbour(self: Streaming, state: Any, u: Array) -> Any:
    """Layer i gets the state of layer i − 1."""
    return _step(self, state._replace(states=(*state.states[-1:], *state.states[:-1])), u)


def _overwritten(residuals: Any, d: Any, options: Any, call: Any) -> Any:
    """The states saved by the last scan stand in for those of every layer."""
    last = residuals.layers[-1].ssm.forward.scan

    def one(layer: Any) -> Any:
        scan = layer.ssm.forward.scan._replace(x=last.x)
        return layer._replace(ssm=layer.ssm._replace(forward=layer.ssm.forward._replace(scan=scan)))

    return _stack_vjp(residuals._replace(layers=[one(layer) for layer in residuals.layers]), d, options, call)


def _unmasked(self: Model, inputs: Any, lengths: Any) -> None:
    """Padding counts."""


def _unbiased(*args: Any) -> Any:
    (y, running), residuals = _batch_norm(*args)
    if residuals.count is not None:
        n = residuals.count / np.maximum(residuals.count - 1, 1)
        old = args[4] * args[3].var
        running = running._replace(var=old + n * (running.var - old))
    return (y, running), residuals


def _per_step(x: Array, mask: Array | None) -> Array:
    """Another mask at every step: the given one, turned over the features."""
    if mask is None or x.ndim != 3:
        return _dropout(x, mask)
    return np.asarray(x * np.concatenate([np.roll(mask, k, axis=-1) for k in range(x.shape[1])], axis=1))


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], std: float = 1.0) -> Array:
    return np.asarray(rng.uniform(0.0, std, shape))


def _narrow(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> Array:
    return np.asarray(_truncated(rng, shape, 0.774 * std))


def _decayed(names: Any, config: Any) -> Any:
    return {
        name: replace(group, weight_decay=config.weight_decay)
        for name, group in _table(names, config).items()
    }


def _coupled(params: Any, grads: Any, moments: Any, count: int, groups: Any, rates: Any) -> Any:
    """The decay goes into the gradient, and so into the moments."""
    grads = {name: g + groups[name].weight_decay * params[name] for name, g in grads.items()}
    groups = {name: replace(group, weight_decay=0.0) for name, group in groups.items()}
    return _adamw(params, grads, moments, count, groups, rates)


NETWORKS = (
    Mutant(
        "M01", "state of another layer",
        "in step mode a layer is given the state of the layer before it",
        "step", changed(("s5ref.model.streaming", "Streaming.step", _neighbour)),
    ),
    Mutant(
        "M07", "two chained scans",
        "in the backward pass the saved states of the last layer's scan stand in for those of every layer",
        "model", changed(("s5ref.model.stack", "stack_vjp", _overwritten)),
    ),
    Mutant(
        "M16", "decayed state space",
        "your update decays Lambda, log_step and B, which take no decay",
        "update", changed(("s5ref.optim.adamw", "group_table", _decayed)),
    ),
    Mutant(
        "M21", "initial draws",
        "your D is uniform on [0, 1) and your truncated normals have 0.774 of their standard deviation",
        "init",
        changed(("s5ref.random", "normal", _uniform), ("s5ref.random", "truncated_normal", _narrow)),
    ),
    Mutant(
        "M27", "padding leaks",
        "padding enters the reverse scan and the statistics: upstream's behaviour, not the masked one",
        "model", changed(("s5ref.model.model", "Model._valid", _unmasked)),
    ),
    Mutant(
        "M31", "erf GELU",
        "your GELU is the erf form, S5's is the tanh form",
        "layer",
        changed(
            ("s5ref.nn.activation", "gelu_tanh", activation.gelu_erf),
            ("s5ref.nn.activation", "gelu_tanh_vjp", activation.gelu_erf_vjp),
        ),
    ),
    Mutant(
        "M32", "LayerNorm with 1e-5",
        "your LayerNorm adds 1e-5 to the variance, S5's adds 1e-6",
        "layer", changed(("s5ref.nn.norm", "LAYER_NORM_EPS", 1e-05)),
    ),
    Mutant(
        "M33", "unbiased running variance",
        "your BatchNorm keeps the unbiased variance (PyTorch's), S5 the biased one",
        "layer", changed(("s5ref.nn.norm", "batch_norm", _unbiased)),
    ),
    Mutant(
        "M34", "dropout per step",
        "your dropout mask changes from step to step; S5's is one per example and feature",
        "layer", changed(("s5ref.nn.dropout", "dropout", _per_step)),
    ),
    Mutant(
        "M35", "half_glu1 for half_glu2",
        "your half_glu2 gates gelu(x), as half_glu1 does; it must gate x itself",
        "layer",
        changed(
            ("s5ref.model.mix", "half_glu2", mix.half_glu1),
            ("s5ref.model.mix", "half_glu2_vjp", mix.half_glu1_vjp),
        ),
    ),
    Mutant(
        "M38", "coupled decay",
        "your weight decay goes into the gradient (Adam with L2), not beside it (AdamW)",
        "update", changed(("s5ref.optim.adamw", "adamw", _coupled)),
    ),
)  # fmt: skip
