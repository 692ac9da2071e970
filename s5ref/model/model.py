"""A deep S5 model: configuration in, and init, forward, loss and gradient out. Streaming is in
streaming.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, Unpack

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Conditions, Engine, Settings, Vjp, as_engine
from s5ref.errors import ConfigError, DataError, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.block import BlockOptions
from s5ref.model.checks import check_batch, check_dstates, check_params
from s5ref.model.config import ModelConfig
from s5ref.model.encoders import Encoder, encoder_of
from s5ref.model.heads import HEADS, Head, PoolFn
from s5ref.model.layer import as_dtype, init_layer
from s5ref.model.mix import Masks
from s5ref.model.stack import StackResiduals, draw_masks, layer_names, stack, stack_vjp
from s5ref.nn.pool import POOLS, Where, pool_across
from s5ref.ranks import GRID, Grid, place, total_of
from s5ref.segments import Segments
from s5ref.tree import described, prefixed, subtree


@described
class Forward(NamedTuple):
    """output: log-probabilities (N, K), or values: (N, L, K) of regression, (N, K) of pooled_regression; of
    gaussian_regression (N, L, 2K), the means and behind them the variances. states: final state of each
    layer.
    """

    output: Array
    states: list[Array]
    statistics: dict[str, Array]


class ModelResiduals(NamedTuple):
    """Residuals of `Model.value`; with its leaves in order, the trace of the computation. The call is the one
    that the layers were given.
    """

    call: Call
    stack: StackResiduals
    head: Any


@described
class LossAndGrad(NamedTuple):
    """Loss (a scalar of the model's dtype), gradient by leaf name, running statistics after the batch,
    output, final states, and the cotangent of each layer's initial state.
    """

    loss: Any
    grads: dict[str, Array]
    statistics: dict[str, Array]
    output: Array
    states: list[Array]
    dstates: list[Array]


class Plan(NamedTuple):
    """What an engine runs for the layers of a model, and why; printed, one line. ``behind`` is the plan of
    the layers behind the first event pooling, where that is another.
    """

    engine: str
    layers: list[str]
    implementation: str
    why: str
    behind: Plan | None = None

    def __str__(self) -> str:
        names = self.layers[0] if len(self.layers) == 1 else f"{self.layers[0]} … {self.layers[-1]}"
        own = f"engine {self.engine}, {names}: {self.implementation} ({self.why})"
        return own if self.behind is None else f"{own}; behind event pooling {self.behind}"


@dataclass(frozen=True)
class Model:
    """The S5 model of a `ModelConfig`. Holds no arrays: parameters and statistics go in and come out."""

    config: ModelConfig

    @cached_property
    def options(self) -> BlockOptions:
        return self.config.block_options()

    @cached_property
    def encoder(self) -> Encoder:
        return encoder_of(self.config)

    @cached_property
    def head(self) -> Head:
        return HEADS[self.config.head]

    @cached_property
    def pool(self) -> PoolFn:
        return POOLS[self.config.pooling]

    def init(self, seed: int = 0, dtype: Any = "float32") -> tuple[dict[str, Array], dict[str, Array]]:
        """Initial parameters and running statistics: a function of (config, seed), computed in float64 and
        rounded once.

        Parameters
        ----------
        seed : int
        dtype : dtype-like
            Real: float32, float64 or longdouble.

        Returns
        -------
        params : dict of leaf names to arrays
            encoder.*, layers_i.seq.*, layers_i.norm.*, layers_i.out1|out2.*, decoder.*: see
            `s5ref.model.leaves.parameter_shapes`.
        statistics : dict
            layers_i.norm.mean, layers_i.norm.var (H,); {} with LayerNorm.
        """
        c = self.config
        params = prefixed("encoder", self.encoder.init(seed, "encoder"))
        statistics: dict[str, Array] = {}
        for name in layer_names(c.n_layers):
            layer, of_layer = init_layer(seed, name, c)
            params |= prefixed(name, layer)
            statistics |= prefixed(name, of_layer)
        params |= prefixed("decoder", self.head.init(seed, "decoder", c.d_model, c.n_classes))
        return as_dtype(params, dtype), as_dtype(statistics, dtype)

    def forward(
        self, params: Leaves, statistics: Leaves, batch: Batch, **settings: Unpack[Settings]
    ) -> Forward:
        """The output for a batch.

        Parameters
        ----------
        params, statistics : dict
            By leaf name, as from `init`; all of one real dtype.
        batch : Batch
        **settings
            engine, training, key, step_rescale, initial_state: `s5ref.Settings`.

        Returns
        -------
        Forward
            output, states, statistics.

        Raises
        ------
        S5Error
            Naming the offending input: wrong rank, shape or dtype, an empty sequence, NaN or infinity, tokens
            or targets out of range, lengths outside 1 … L.
        """
        return self.value(params, statistics, batch, Call.of(False, settings))[0]

    def forward_and_vjp(
        self, params: Leaves, statistics: Leaves, batch: Batch, **settings: Unpack[Settings]
    ) -> tuple[Forward, Vjp]:
        """`forward`, and the function that takes cotangents back.

        Returns
        -------
        Forward
        vjp : function
            ``vjp(doutput, dstates=None) -> (dparams, dinputs, dinitial_state)``: doutput like output, dstates
            of each layer like its final state or None; dinputs is None for tokens. Complex cotangents are
            ∂L/∂Re + i ∂L/∂Im (docs/conventions.md).
        """
        forward, residuals = self.value(params, statistics, batch, Call.of(True, settings))
        return forward, Vjp("model", self.vjp, residuals)

    def loss_and_grad(
        self,
        params: Leaves,
        statistics: Leaves,
        batch: Batch,
        dstates: Sequence[Array | None] | None = None,
        **settings: Unpack[Settings],
    ) -> LossAndGrad:
        """Mean loss over the batch and its gradient: cross-entropy, or of a regression mean squared error, or
        with variances the negative logarithm of the normal likelihood.

        Arguments and errors as of `forward`; the batch needs targets. ``dstates`` are the cotangents of the
        final states (None: zero): where another call goes on from ``.states``, its ``.dstates``. The gradient
        is then that of both losses.
        """
        return self.value_and_grad(params, statistics, batch, Call.of(True, settings), dstates)

    def plan(
        self,
        engine: Engine | str | None = None,
        dtype: str = "float32",
        irregular: bool = False,
        masked: bool | None = None,
        resets: bool = False,
    ) -> Plan:
        """Which implementation an engine runs for the layers, and why.

        Parameters
        ----------
        engine : Engine, str or None
        dtype : str
            Of the parameters.
        irregular : bool
            Whether batches have intervals.
        masked : bool or None
            Whether padding is masked; None: if the configuration says so.
        resets : bool
            Whether batches have resets.

        Returns
        -------
        Plan
            Its text is one line.
        """
        engine, irregular = as_engine(engine), irregular and self.encoder.layers_see_intervals
        masked = self.config.padding == "masked" if masked is None else masked
        conditions, names = Conditions(dtype, irregular, masked, resets), layer_names(self.config.n_layers)

        def of(names: list[str], conditions: Conditions, behind: Plan | None = None) -> Plan:
            layer = engine.layer(self.options, conditions)
            return Plan(engine.name, names, layer.name, layer.why, behind)

        if irregular or self.config.event_stride == 1:
            return of(names, conditions)
        first = self.config.event_every  # behind it steps have intervals
        return of(names[:first], conditions, of(names[first:], conditions._replace(irregular=True)))

    def value(
        self, params: Leaves, statistics: Leaves, batch: Batch, call: Call
    ) -> tuple[Forward, ModelResiduals]:
        """`forward` by a `Call` made elsewhere, and the residuals."""
        check_params(self.config, params, statistics)
        batch = check_batch(self.config, params, batch, call.grid)
        inputs, where, call = self.arranged(params, batch, call)
        given = params, inputs, self.encoder, self.options, self.config.windows
        out, stack_residuals = stack(*given, call, statistics)
        decoder, pool = subtree(params, "decoder"), self.pool
        if self.config.event_stride > 1 and where is not None and not isinstance(where, Segments):
            where = -(-where // self.config.total_stride)
        if call.grid.sequence.size > 1:
            start = call.start // self.config.total_stride
            pool = partial(pool_across, call.grid.sequence, start, self.config.pooling)
        output, head_residuals = self.head.apply.value(decoder, out.y, where, pool, call)
        residuals = ModelResiduals(call, stack_residuals, head_residuals)
        return Forward(output, out.states, out.statistics), residuals

    def vjp(
        self, residuals: ModelResiduals, doutput: Array, dstates: Sequence[Array | None] | None = None
    ) -> tuple[dict[str, Array], Array | None, list[Array]]:
        """(dparams, dinputs or None for tokens, dinitial_state) from the cotangents of the output and of the
        final states.

        Raises
        ------
        ConfigError
            If the forward pass kept no residuals.
        """
        call, of_stack, of_head = residuals
        if not call.keep_residuals:
            raise ConfigError(
                "model: a backward pass needs the residuals of the forward pass; got keep_residuals=False.",
                "Call forward_and_vjp.",
            )
        dparams, dfeatures = self.head.apply.vjp(of_head, doutput, call)
        if call.grid.sequence.rank > 0 and not self.head.stepwise:  # all have the same head: one counts it
            dparams = {name: np.zeros_like(d) for name, d in dparams.items()}
        dstates = dstates or [None] * self.config.n_layers
        dstack, dinputs, dx0s = stack_vjp(of_stack, (dfeatures, dstates), self.encoder, self.options, call)
        if dinputs is not None and self.head.documents == 2 and call.segments is None:
            n = dinputs.shape[0] // 2
            dinputs = np.stack([dinputs[:n], dinputs[n:]], axis=1)
        return prefixed("decoder", dparams) | dstack, dinputs, dx0s

    def value_and_grad(
        self,
        params: Leaves,
        statistics: Leaves,
        batch: Batch,
        call: Call,
        dstates: Sequence[Array | None] | None = None,
    ) -> LossAndGrad:
        """`loss_and_grad` by a `Call` made elsewhere."""
        forward, residuals = self.value(params, statistics, batch, replace(call, input_cotangent=False))
        batch = check_batch(self.config, params, batch, call.grid)
        loss, doutput = self.loss(forward.output, batch, call.grid)
        grads, _, dx0s = self.vjp(residuals, doutput, check_dstates(dstates, forward.states))
        grads, dx0s = total_of(call.grid.everyone, grads), list(map(call.grid.sequence.total, dx0s))
        return LossAndGrad(loss, grads, forward.statistics, forward.output, forward.states, dx0s)

    def loss(self, output: Array, batch: Batch, grid: Grid = GRID) -> tuple[Array, Array]:
        """The loss of an output, and its gradient by the output.

        Parameters
        ----------
        output : (N, K) or (N, L, K)
            As of `forward`.
        batch : Batch
            With targets. With padding="masked" a loss taken at every step counts the valid ones.
        grid : Grid
            The processes that share the batch: the loss is that of all.

        Returns
        -------
        loss : scalar of the model's dtype
        doutput : like output

        Raises
        ------
        DataError
            If the batch has no targets.
        """
        if batch.targets is None:
            raise DataError(
                "model: a loss needs targets; got a batch without them.", "Pass Batch(inputs, targets)."
            )
        loss, valid = self.head.loss, self.valid_steps(batch, grid)
        given = (output, batch.targets, valid) if self.head.stepwise else (output, batch.targets)
        value, residuals = loss.value(*given)
        if grid.everyone.size == 1:
            return value, loss.vjp(residuals, np.ones_like(value))
        ranks, counted = grid.data, np.full_like(output, len(output), shape=())
        if self.head.stepwise:
            ranks = grid.everyone
            steps = output[..., 0].size if valid is None else np.sum(valid)
            counted = np.full_like(output, steps, shape=())
        share = counted / ranks.total(counted)
        return ranks.total(share * value), loss.vjp(residuals, share)

    def arranged(self, params: Leaves, batch: Batch, call: Call) -> tuple[Array, Where, Call]:
        """Inputs with documents on the batch axis (all the first, then all the second), where their
        sequences lie, and the call with what every layer needs to know of the batch.

        Raises
        ------
        ShapeError
            If there is not one initial state for each layer.
        """
        c = self.config
        inputs, _, lengths, intervals, resets, segments = batch
        if self.head.documents == 2 and segments is None:
            inputs, lengths, intervals, resets = map(_documents, (inputs, lengths, intervals, resets))
        if call.initial_state is not None and len(call.initial_state) != c.n_layers:
            raise ShapeError(
                f"model: initial_state must hold one state (or None) per layer, {c.n_layers}; got "
                f"{len(call.initial_state)}.",
                "Pass forward.states of the piece before.",
            )
        masks = call.masks
        if masks is None:
            n = inputs.shape[0] if segments is None else segments.lengths.shape[0]
            masks = self._masks(n, call, params["encoder.kernel"])
        if segments is not None and call.grid.sequence.size > 1 and not self.head.stepwise:
            raise ConfigError(
                f"model: packed rows whose steps are shared out cannot be pooled; got head {c.head!r}.",
                "Pad the sequences and pass lengths, or share out examples alone.",
            )
        where = lengths if segments is None else segments
        if segments is not None and call.grid.sequence.size == 1:
            resets = segments.resets if resets is None else segments.resets | resets
        start, steps = place(call.grid.sequence, inputs.shape[1])
        call = replace(
            call, masks=masks, intervals=intervals, valid=self._valid(inputs, where, start), resets=resets,
            segments=segments, start=start,
        )  # fmt: skip
        if where is None and call.grid.sequence.size > 1:
            where = np.full(inputs.shape[0], steps, dtype=np.int64, like=inputs)
        return inputs, where, call

    def _masks(self, n: int, call: Call, like: Array) -> list[Masks]:
        """The dropout masks of n sequences of this process, drawn with those of all."""
        c, documents = self.config, self.head.documents
        first, examples = place(call.grid.data, n // documents)
        masks = draw_masks(c.n_layers, examples * documents, c.d_model, c.dropout, call, like)
        if call.grid.data.size == 1:
            return masks
        own = np.arange(first, first + n // documents)
        rows = np.concatenate([own + document * examples for document in range(documents)])
        return [(None if a is None else a[rows], None if b is None else b[rows]) for a, b in masks]

    def valid_steps(self, batch: Batch, grid: Grid = GRID) -> Array | None:
        """(N, L, 1), True at the steps that a loss taken at every step counts; None: it counts all."""
        if not self.head.stepwise:
            return None
        if batch.segments is not None:
            return batch.segments.valid
        start, _ = place(grid.sequence, batch.inputs.shape[1])
        return self._valid(batch.inputs, batch.lengths, start)

    def _valid(self, inputs: Array, where: Where, start: int) -> Array | None:
        """(N, L, 1), True at the valid steps; None where all count."""
        if isinstance(where, Segments):
            full = isinstance(where.ids, np.ndarray) and where.lengths.sum() == where.ids.size
            return None if full else where.valid
        if self.config.padding != "masked" or where is None:
            return None
        steps = np.arange(start, start + inputs.shape[1], like=where)
        valid: Array = (steps[None, :] < where[:, None])[:, :, None]
        return valid


def _documents(x: Array | None) -> Any:
    """(N, 2, …) → (2N, …)."""
    return None if x is None else np.concatenate([x[:, 0], x[:, 1]], axis=0)
