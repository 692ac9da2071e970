"""One update of a model: gradients, a check that they are finite, AdamW."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_finite
from s5ref.engine import Call, Conditions, Engine, Implementation
from s5ref.errors import NumericalError
from s5ref.model.batch import Batch
from s5ref.model.block import BlockOptions
from s5ref.model.chunks import value_and_grad
from s5ref.model.model import Model
from s5ref.model.stack import layer_names
from s5ref.optim.adamw import Group, Moments, adamw, first_nonfinite
from s5ref.ranks import GRID, Grid
from s5ref.train.results import NonFinite
from s5ref.tree import described


@described
class Weights(NamedTuple):
    """What an update changes: parameters, moments, running statistics, and the number of updates made."""

    params: dict[str, Array]
    moments: Moments
    statistics: dict[str, Array]
    updates: int


@described
class Updated(NamedTuple):
    """The new weights, and the loss and output of the batch before them."""

    weights: Weights
    loss: float
    output: Array


def update(
    model: Model,
    weights: Weights,
    batch: Batch,
    call: Call,
    groups: Mapping[str, Group],
    rates: Mapping[str, float],
    chunk: int = 0,
    truncate: bool = False,
) -> Updated:
    """One more update of the weights.

    Parameters
    ----------
    model : Model
    weights : Weights
    batch : Batch
    call : Call
        Training, with the key of the dropout masks.
    groups, rates
        As in `s5ref.optim.adamw.adamw`.
    chunk, truncate
        As in `s5ref.model.chunks.chunked_loss_and_grad`; 0: whole sequences.

    Returns
    -------
    Updated
        New arrays; those of ``weights`` do not change.

    Raises
    ------
    NonFinite
        Naming update and leaf, where the forward pass, the loss or a gradient is not finite.
    """
    params, moments, statistics, updates = weights
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # checked below
        try:
            result = value_and_grad(model, params, statistics, batch, call, chunk, truncate)
        except NumericalError:  # the SSM refuses what is not finite
            leaf = _out_of_range(params) or _where(model, weights, batch, call)
            if leaf is None:
                raise
            raise _nonfinite("forward pass", updates + 1, leaf, groups) from None
        loss = float(result.loss)
        if not math.isfinite(loss):
            leaf = _where(model, weights, batch, call) or next(n for n in params if n.startswith("decoder."))
            raise _nonfinite(f"loss ({loss})", updates + 1, leaf, groups)
    leaf = first_nonfinite({name: result.grads[name] for name in params})
    if leaf is not None:
        raise _nonfinite("gradient", updates + 1, leaf, groups)
    new_params, new_moments = adamw(params, result.grads, moments, updates + 1, groups, rates)
    return Updated(Weights(new_params, new_moments, result.statistics, updates + 1), loss, result.output)


@dataclass(eq=False, repr=False)
class Updates:
    """The weights of a run, one update after the other, on the host.

    ``source(k)`` is the batch of update k (from 0); ``seed`` keys its dropout masks; ``chunk`` and
    ``truncate`` are those of `update`.
    """

    model: Model
    weights: Weights  # host arrays that no later step changes
    groups: Mapping[str, Group]
    engine: Engine
    source: Callable[[int], Batch]
    seed: int = 0
    chunk: int = 0
    truncate: bool = False
    grid: Grid = GRID  # the processes that share every batch; `source` gives the part of this one

    def on_engine(self) -> Updates:
        """These updates in the form of an engine that keeps the weights elsewhere, with the same methods and
        refusals (`Engine.updates`); otherwise themselves.
        """
        return self.engine.updates(self) if self.engine.updates else self

    @property
    def count(self) -> int:
        """Updates made since the beginning of the run."""
        return self.weights.updates

    def step(self, rates: Mapping[str, float]) -> tuple[float, Array]:
        """One more update: the loss and the output of its batch before it. NonFinite as of `update`."""
        call = Call(self.engine, training=True, key=(self.seed, self.count), grid=self.grid)
        given = self.model, self.weights, self.source(self.count), call, self.groups, rates
        self.weights, loss, output = update(*given, self.chunk, self.truncate)
        return loss, output


def _out_of_range(params: Leaves) -> str | None:
    """The first parameter that is not finite, or a log Δ whose Δ is 0 or infinite: models refuse these."""
    steps = {name: np.exp(p) for name, p in params.items() if name.endswith(".log_step")}
    zero = next((name for name, step in steps.items() if not bool((step > 0).all())), None)
    return first_nonfinite(params) or zero or first_nonfinite(steps)


def _where(model: Model, weights: Weights, batch: Batch, call: Call) -> str | None:
    """The first parameter of the layer (or encoder) whose output is the first not finite, or None."""
    call = replace(call, grid=GRID)  # of the part that is here
    suspects: list[str] = []
    layers = iter(layer_names(model.config.n_layers))

    def watched(options: BlockOptions, conditions: Conditions) -> Implementation:
        layer = call.engine.layer(options, conditions)

        def value(params: Leaves, x: Array, *rest: Any) -> Any:
            suspects.append("encoder")
            check_finite("encoder", "x", x)
            suspects[:] = [next(layers)]
            out, residuals = layer.value(params, x, *rest)
            check_finite("layer", "y", out.y)
            suspects.clear()
            return out, residuals

        return replace(layer, value=value)

    with contextlib.suppress(NumericalError):
        watching = replace(call, engine=replace(call.engine, layer=watched), keep_residuals=False)
        model.value(weights.params, weights.statistics, batch, watching)
    return next((name for name in weights.params if suspects and name.startswith(suspects[0] + ".")), None)


def _nonfinite(what: str, step: int, leaf: str, groups: Mapping[str, Group]) -> NonFinite:
    layer, group = leaf.partition(".")[0], groups[leaf].name
    return NonFinite(
        f"Step {step}: the {what} is not finite; the first parameter concerned is {leaf} "
        f"(layer {layer}, group {group}).",
        "The last checkpoint is as it was. Lower optim.lr or optim.ssm_lr, or lengthen optim.warmup_epochs.",
        step, layer, leaf, group,
    )  # fmt: skip
