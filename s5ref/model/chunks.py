"""A long sequence in chunks with carried state: the same loss and gradient as in one piece, in the memory
of one chunk.

The forward pass keeps only the state of each layer at every chunk boundary and the features of the last
layer. The backward pass takes the chunks from last to first, recomputes each from its boundary state, and
hands the cotangent of that state to the chunk before it. Dropping that cotangent is truncated backpropagation
through time. Derivation: docs/derivations/chunks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Settings
from s5ref.errors import ConfigError
from s5ref.model.batch import Batch
from s5ref.model.checks import check_batch, check_params
from s5ref.model.model import LossAndGrad, Model
from s5ref.model.stack import StackOut, StackResiduals, stack, stack_vjp
from s5ref.settings import check
from s5ref.tree import prefixed, subtree


def chunked_loss_and_grad(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    batch: Batch,
    chunk: int,
    truncate: bool = False,
    **settings: Unpack[Settings],
) -> LossAndGrad:
    """`Model.loss_and_grad`, ``chunk`` steps at a time.

    Parameters
    ----------
    model, params, statistics, batch
        As of `Model.loss_and_grad`. The model is unidirectional and has no batch statistics: LayerNorm, or
        BatchNorm with ``training=False``.
    chunk : int
        Steps of a chunk, ≥ 1.
    truncate : bool
        No gradient crosses a chunk boundary: truncated backpropagation through time.
    **settings
        engine, training, key, step_rescale, initial_state: `s5ref.Settings`.

    Raises
    ------
    S5Error
        Where the model needs the whole sequence, and as of `Model.forward`.
    """
    call = Call.of(True, settings)
    _check(model, call, chunk)
    check_params(model.config, params, statistics)
    batch = check_batch(model.config, params, batch)
    inputs, lengths, call = model.arranged(params, batch, call)
    n_layers = model.config.n_layers
    pieces = [slice(start, start + chunk) for start in range(0, inputs.shape[1], chunk)]

    def run(piece: slice, states: Sequence[Any]) -> tuple[StackOut, StackResiduals, Call]:
        part = _piece_of(call, piece, states)
        return *stack(params, inputs[:, piece], model.options, n_layers, part, statistics), part

    states: Sequence[Any] = call.initial_state or [None] * n_layers
    boundaries, features = [], []
    for piece in pieces:
        boundaries.append(states)
        out, _, _ = run(piece, states)
        states = out.states
        features.append(out.y)
    x = np.concatenate(features, axis=1)

    output, head_residuals = model.head.apply.value(subtree(params, "decoder"), x, lengths, model.pool, call)
    loss, doutput = model.loss(output, batch)
    dhead, dx = model.head.apply.vjp(head_residuals, doutput, call)

    grads: dict[str, Array] = prefixed("decoder", dhead)
    dstates: list[Any] = [None] * n_layers
    for piece, start in reversed(list(zip(pieces, boundaries, strict=True))):
        _, residuals, part = run(piece, start)
        dstack, _, dx0s = stack_vjp(residuals, (dx[:, piece], dstates), model.options, part)
        grads = {**grads, **{name: grads[name] + d if name in grads else d for name, d in dstack.items()}}
        dstates = [None] * n_layers if truncate else dx0s
    return LossAndGrad(loss, grads, dict(statistics), output, list(states), dx0s)


def _piece_of(call: Call, piece: slice, states: Sequence[Any]) -> Call:
    return replace(
        call,
        initial_state=states,
        intervals=None if call.intervals is None else call.intervals[:, piece],
        valid=None if call.valid is None else call.valid[:, piece],
        resets=None if call.resets is None else call.resets[:, piece],
    )


def _check(model: Model, call: Call, chunk: int) -> None:
    check("chunked_loss_and_grad: chunk", chunk, "at least 1 step", chunk >= 1, "Pass a positive chunk.")
    if model.config.bidirectional:
        raise ConfigError(
            "chunked_loss_and_grad: a bidirectional model needs the whole sequence; got "
            "bidirectional = true.",
            "Use a unidirectional model.",
        )
    if model.options.batch_norm and call.training:
        raise ConfigError(
            "chunked_loss_and_grad: batch statistics of a chunk are not those of the sequence; got "
            "BatchNorm in training.",
            'Use norm = "layer", or training=False for running statistics.',
        )
