"""One update of a model: gradients, a check that they are finite, AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from s5ref.arrays import Array
from s5ref.call import Call
from s5ref.model.batch import Batch
from s5ref.model.model import Model
from s5ref.train.optim import Group, Moments, adamw, first_nonfinite
from s5ref.train.results import NonFinite


class Weights(NamedTuple):
    """What an update changes: parameters, moments, running statistics, and the number of updates made."""

    params: dict[str, Array]
    moments: Moments
    statistics: dict[str, Array]
    updates: int


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
) -> Updated:
    """Weights after one more update; NonFinite, naming step and leaf, if loss or gradient are not finite."""
    params, moments, statistics, updates = weights
    result = model.loss_and_grad(params, statistics, batch, call)
    loss = float(result.loss)
    leaf = first_nonfinite({name: result.grads[name] for name in params})
    if leaf is not None or not math.isfinite(loss):
        raise _nonfinite(updates + 1, loss, leaf or next(iter(params)), groups)
    new_params, new_moments = adamw(params, result.grads, moments, updates + 1, groups, rates)
    return Updated(Weights(new_params, new_moments, result.statistics, updates + 1), loss, result.output)


def _nonfinite(step: int, loss: float, leaf: str, groups: Mapping[str, Group]) -> NonFinite:
    layer, group = leaf.partition(".")[0], groups[leaf].name
    what = "gradient" if math.isfinite(loss) else "loss"
    return NonFinite(
        f"Step {step}: the {what} is not finite (loss {loss}); the first parameter concerned is {leaf} "
        f"(layer {layer}, group {group}).",
        "The last checkpoint is as it was. Lower optim.lr or optim.ssm_lr, or lengthen optim.warmup_epochs.",
        step, layer, leaf, group,
    )  # fmt: skip
