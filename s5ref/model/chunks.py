"""A long sequence in chunks with carried state: the same loss and gradient as in one piece, in the memory
of one chunk.

The forward pass keeps only the state of each layer at every chunk boundary and the features of the last
layer. The backward pass takes the chunks from last to first, recomputes each from its boundary state, and
hands the cotangent of that state to the chunk before it. Dropping that cotangent is truncated backpropagation
through time. Derivation: docs/derivations/chunks.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call
from s5ref.errors import S5Error
from s5ref.model.batch import Batch
from s5ref.model.checks import check_batch, check_params
from s5ref.model.model import LossAndGrad, Model
from s5ref.model.stack import StackOut, StackResiduals, draw_masks, stack, stack_vjp
from s5ref.tree import prefixed, subtree


def chunked_loss_and_grad(
    model: Model,
    params: Mapping[str, Array],
    statistics: Mapping[str, Array],
    batch: Batch,
    call: Call,
    chunk: int,
    truncate: bool = False,
) -> LossAndGrad:
    """`Model.loss_and_grad`, ``chunk`` steps at a time. With ``truncate`` no gradient crosses a chunk
    boundary.

    Needs a unidirectional model without batch statistics: LayerNorm, or BatchNorm with ``call.training``
    False.
    """
    _check(model, call, chunk)
    check_params(model.config, params, statistics)
    batch = check_batch(model.config, params, batch)
    inputs, lengths, call = model.arranged(batch, call)
    n_layers, intervals, valid = model.config.n_layers, call.intervals, call.valid
    masks = draw_masks(
        n_layers, inputs.shape[0], model.config.d_model, model.config.dropout, call, params["encoder.kernel"]
    )
    pieces = [slice(start, start + chunk) for start in range(0, inputs.shape[1], chunk)]

    def run(piece: slice, states: list[Any]) -> tuple[StackOut, StackResiduals, Call]:
        part = _piece_of(call, intervals, valid, piece)
        out, residuals = stack(
            params, inputs[:, piece], model.options, n_layers, part, statistics, masks, states
        )
        return out, residuals, part

    states: list[Any] = [None] * n_layers
    boundaries, features = [], []
    for piece in pieces:
        boundaries.append(states)
        out, _, _ = run(piece, states)
        states = out.states
        features.append(out.y)
    x = np.concatenate(features, axis=1)

    output, head_residuals = model.head.apply.value(subtree(params, "decoder"), x, lengths, model.pool, call)
    loss, doutput = model.loss(output, batch, call)
    dhead, dx = model.head.apply.vjp(head_residuals, doutput, call)

    grads: dict[str, Array] = prefixed("decoder", dhead)
    dstates: list[Any] = [None] * n_layers
    for piece, start in reversed(list(zip(pieces, boundaries, strict=True))):
        _, residuals, part = run(piece, start)
        dstack, _, dx0s = stack_vjp(residuals, (dx[:, piece], dstates), model.options, part)
        grads = {**grads, **{name: grads[name] + d if name in grads else d for name, d in dstack.items()}}
        dstates = [None] * n_layers if truncate else dx0s
    return LossAndGrad(loss, grads, dict(statistics), output, states, dx0s)


def _piece_of(call: Call, intervals: Array | None, valid: Array | None, piece: slice) -> Call:
    return replace(
        call,
        intervals=None if intervals is None else intervals[:, piece],
        valid=None if valid is None else valid[:, piece],
    )


def _check(model: Model, call: Call, chunk: int) -> None:
    if chunk < 1:
        raise S5Error(
            f"chunked_loss_and_grad: chunk must be at least 1 step; got {chunk}.", "Pass a positive chunk."
        )
    if model.config.bidirectional:
        raise S5Error(
            "chunked_loss_and_grad: a bidirectional model needs the whole sequence; got "
            "bidirectional = true.",
            "Use a unidirectional model.",
        )
    if model.options.batch_norm and call.training:
        raise S5Error(
            "chunked_loss_and_grad: batch statistics of a chunk are not those of the sequence; got "
            "BatchNorm in training.",
            'Use norm = "layer", or Call(training=False) for running statistics.',
        )
