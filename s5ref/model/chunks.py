"""A long sequence in chunks with carried state: the same output, loss and gradient as in one piece, in the
memory of one chunk.

The forward pass keeps the state of each layer at every chunk boundary, and what the head needs: the pooling
so far, or the outputs of a regression at every step. The backward pass takes the chunks from last to first,
recomputes each from its boundary state, and hands the cotangent of that state to the chunk before it.
Dropping that cotangent is truncated backpropagation through time. Derivation: docs/derivations/chunks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Unpack

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Settings
from s5ref.errors import ConfigError
from s5ref.model.batch import Batch
from s5ref.model.checks import check_batch, check_dstates, check_params
from s5ref.model.config import ModelConfig
from s5ref.model.model import Forward, LossAndGrad, Model
from s5ref.model.stack import StackOut, StackResiduals, stack, stack_vjp
from s5ref.nn.pool import PoolSoFar, pool_chunk, pool_chunk_vjp, pool_mean
from s5ref.ranks import total_of
from s5ref.segments import Segments
from s5ref.settings import check_count
from s5ref.tree import prefixed, subtree


def chunked_forward(
    model: Model, params: Leaves, statistics: Leaves, batch: Batch, chunk: int, **settings: Unpack[Settings]
) -> Forward:
    """`Model.forward`, ``chunk`` steps at a time. Arguments and errors as of `chunked_loss_and_grad`."""
    sequence = _Sequence.of(model, params, statistics, batch, Call.of(False, settings), chunk)
    passed = sequence.forward()
    return Forward(passed.output, passed.states, dict(statistics))


def chunked_loss_and_grad(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    batch: Batch,
    chunk: int,
    truncate: bool = False,
    dstates: Sequence[Array | None] | None = None,
    **settings: Unpack[Settings],
) -> LossAndGrad:
    """`Model.loss_and_grad`, ``chunk`` steps at a time.

    Parameters
    ----------
    model, params, statistics, batch
        As of `Model.loss_and_grad`. The model is unidirectional and has no batch statistics: LayerNorm, or
        BatchNorm with ``training=False``.
    chunk : int
        Steps of a chunk, ≥ 1; with event pooling a multiple of the product of all strides.
    truncate : bool
        No gradient crosses a chunk boundary: truncated backpropagation through time.
    dstates : sequence of (N, P') complex or None
        As of `Model.loss_and_grad`: the cotangents of the final states.
    **settings
        engine, training, key, step_rescale, initial_state: `s5ref.Settings`.

    Raises
    ------
    S5Error
        Where the model needs the whole sequence, and as of `Model.forward`.
    """
    call = Call.of(True, settings)
    sequence = _Sequence.of(model, params, statistics, batch, call, chunk)
    return sequence.loss_and_grad(truncate, dstates)


def value_and_grad(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    batch: Batch,
    call: Call,
    chunk: int = 0,
    truncate: bool = False,
) -> LossAndGrad:
    """`chunked_loss_and_grad` by a `Call` made elsewhere; of whole sequences where ``chunk`` is 0."""
    if chunk == 0:
        return model.value_and_grad(params, statistics, batch, call)
    return _Sequence.of(model, params, statistics, batch, call, chunk).loss_and_grad(truncate)


class _Passed(NamedTuple):
    """What the forward pass leaves: the states at the beginning of each chunk and at the end, the output, and
    where the head pools, the pooling of the whole and the residuals of the head.
    """

    boundaries: list[Sequence[Any]]
    states: list[Array]
    output: Array
    pooled: PoolSoFar | None
    head: Any


@dataclass(frozen=True)
class _Sequence:
    """A checked batch, and the chunks in which it is passed."""

    model: Model
    params: Leaves
    statistics: Leaves
    batch: Batch
    inputs: Array  # documents on the batch axis
    lengths: Array  # of what the head pools
    call: Call
    chunk: int

    @classmethod
    def of(
        cls, model: Model, params: Leaves, statistics: Leaves, batch: Batch, call: Call, chunk: int
    ) -> _Sequence:
        check_count("chunk", chunk)
        check_chunks("chunks", model.config, chunk, call.training)
        check_params(model.config, params, statistics)
        if call.grid.sequence.size > 1:
            raise ConfigError(
                "chunks: ranks that share a sequence pass their steps at once; got chunks, too.",
                "Leave out the chunks, or use more ranks.",
            )
        batch = check_batch(model.config, params, batch)
        if batch.segments is not None and not model.head.stepwise:
            raise ConfigError(
                f"chunks: packed rows are pooled whole; got segments and head {model.config.head!r}.",
                "Pad the sequences and pass lengths, or pass the rows without chunks.",
            )
        inputs, where, call = model.arranged(params, batch, call)
        if where is None or isinstance(where, Segments):
            where = np.full(inputs.shape[0], inputs.shape[1], dtype=np.int64, like=inputs)
        where = -(-where // model.config.total_stride)  # what the head pools are windows
        return cls(model, params, statistics, batch, inputs, where, call, chunk)

    @property
    def pieces(self) -> list[slice]:
        steps = self.inputs.shape[1]
        return [slice(start, min(start + self.chunk, steps)) for start in range(0, steps, self.chunk)]

    def first(self, piece: slice) -> int:
        """The first step of what the head pools that belongs to a chunk."""
        return int(piece.start) // self.model.config.total_stride

    def run(self, piece: slice, states: Sequence[Any], keep: bool) -> tuple[StackOut, StackResiduals, Call]:
        """The layers on one chunk, from the states before it; with residuals where a vjp follows."""
        call = replace(self.call, keep_residuals=keep, input_cotangent=False)
        part = _piece_of(call, piece, states)
        c, options = self.model.config, self.model.options
        given = self.params, self.inputs[:, piece], self.model.encoder, options, c.windows
        return *stack(*given, part, self.statistics), part

    def forward(self) -> _Passed:
        model, decoder = self.model, subtree(self.params, "decoder")
        states: Sequence[Any] = self.call.initial_state or [None] * model.config.n_layers
        boundaries: list[Sequence[Any]] = []
        outputs: list[Array] = []
        pooled: PoolSoFar | None = None
        head: Any = None
        for piece in self.pieces:
            boundaries.append(states)
            out, _, part = self.run(piece, states, keep=False)
            states = [state.copy() for state in out.states]  # a view would hold all states of the chunk
            if model.head.stepwise:
                outputs.append(model.head.apply.value(decoder, out.y, None, model.pool, part)[0])
            else:
                y, pooled = pool_chunk(model.config.pooling, pooled, out.y, self.first(piece), self.lengths)
        if model.head.stepwise:
            output = np.concatenate(outputs, axis=1)
        else:  # the mean of one step is that step
            output, head = model.head.apply.value(decoder, y[:, None], None, pool_mean, self.call)
        return _Passed(boundaries, list(states), output, pooled, head)

    def loss_and_grad(self, truncate: bool, dstates: Sequence[Array | None] | None = None) -> LossAndGrad:
        model = self.model
        if self.chunk >= self.inputs.shape[1]:  # one chunk: nothing to compute twice
            return model.value_and_grad(self.params, self.statistics, self.batch, self.call, dstates)
        passed = self.forward()
        dstates = check_dstates(dstates, passed.states)
        loss, doutput = model.loss(passed.output, self.batch, self.call.grid)
        grads: dict[str, Array] = {}
        dpooled: Any = None
        if not model.head.stepwise:
            dhead, dpooled = model.head.apply.vjp(passed.head, doutput, self.call)
            grads = prefixed("decoder", dhead)
        for piece, start in reversed(list(zip(self.pieces, passed.boundaries, strict=True))):
            out, residuals, part = self.run(piece, start, keep=True)
            dhead, dy = self._head_vjp(passed, out.y, piece, doutput, dpooled)
            dstack, _, dx0s = stack_vjp(residuals, (dy, dstates), model.encoder, model.options, part)
            for name, d in (dstack | dhead).items():
                grads[name] = grads[name] + d if name in grads else d
            dstates = [None] * len(dx0s) if truncate else dx0s
        grads = total_of(self.call.grid.everyone, grads)
        return LossAndGrad(loss, grads, dict(self.statistics), passed.output, passed.states, dx0s)

    def _head_vjp(
        self, passed: _Passed, y: Array, piece: slice, doutput: Array, dpooled: Array | None
    ) -> tuple[dict[str, Array], Array]:
        """(the cotangents of the decoder, where it acts on every step; that of the features y of a chunk)."""
        model = self.model
        if passed.pooled is not None and dpooled is not None:
            given = dpooled[:, 0], y, self.first(piece), self.lengths
            return {}, pool_chunk_vjp(model.config.pooling, passed.pooled, *given)
        decoder = subtree(self.params, "decoder")
        _, residuals = model.head.apply.value(decoder, y, None, model.pool, self.call)
        dhead, dy = model.head.apply.vjp(residuals, doutput[:, piece], self.call)
        return prefixed("decoder", dhead), dy


def _piece_of(call: Call, piece: slice, states: Sequence[Any]) -> Call:
    return replace(
        call,
        initial_state=states,
        intervals=None if call.intervals is None else call.intervals[:, piece],
        valid=None if call.valid is None else call.valid[:, piece],
        resets=None if call.resets is None else call.resets[:, piece],
        segments=None if call.segments is None else call.segments._replace(ids=call.segments.ids[:, piece]),
    )


def check_chunks(where: str, config: ModelConfig, chunk: int, training: bool) -> None:
    """Refuse a model that needs the whole sequence; ``where`` begins the error.

    Raises
    ------
    ConfigError
        If it has two directions, BatchNorm in training, or windows that a chunk would cut.
    """
    if config.bidirectional:
        raise ConfigError(
            f"{where}: a bidirectional model needs the whole sequence; got model.bidirectional = true.",
            "Use a model with model.bidirectional = false, or whole sequences.",
        )
    if config.norm == "batch" and training:
        raise ConfigError(
            f"{where}: batch statistics of a chunk are not those of the sequence; got BatchNorm in training.",
            'Use model.norm = "layer", or whole sequences.',
        )
    if chunk % (window := config.total_stride):
        raise ConfigError(
            f"{where}: event pooling needs chunks of a multiple of {window} steps; got {chunk} steps.",
            f"Use chunks of {chunk + -chunk % window} steps.",
        )
