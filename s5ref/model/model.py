"""A deep S5 model: configuration in, and init, forward, loss and gradient out. Streaming is in
streaming.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call
from s5ref.errors import S5Error
from s5ref.model.batch import Batch
from s5ref.model.block import BlockOptions
from s5ref.model.checks import check_batch, check_params
from s5ref.model.config import C_INITS, ModelConfig
from s5ref.model.heads import HEADS, Head, PoolFn, init_dense
from s5ref.model.leaves import GATES
from s5ref.model.mix import Masks
from s5ref.model.stack import StackResiduals, draw_masks, layer_names, stack, stack_vjp
from s5ref.nn.pool import pool_last, pool_mean
from s5ref.ssm.init import init_ssm
from s5ref.tree import map_leaves, prefixed, subtree

Params = Mapping[str, Array]
POOLS = {"mean": pool_mean, "last": pool_last}


class Forward(NamedTuple):
    """output: log-probabilities (N, K), or (N, L, K) of regression. states: final state of each layer."""

    output: Array
    states: list[Array]
    statistics: dict[str, Array]


class ModelResiduals(NamedTuple):
    """The saved values of a model; with its leaves in order, the trace of the computation."""

    stack: StackResiduals
    head: Any


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


@dataclass(frozen=True)
class Model:
    """The S5 model of a `ModelConfig`. Holds no arrays: parameters and statistics go in and come out."""

    config: ModelConfig

    @cached_property
    def options(self) -> BlockOptions:
        return self.config.block_options()

    @cached_property
    def head(self) -> Head:
        return HEADS[self.config.head]

    @cached_property
    def pool(self) -> PoolFn:
        return POOLS[self.config.pooling]

    def init(self, seed: int = 0, dtype: Any = "float32") -> tuple[dict[str, Array], dict[str, Array]]:
        """Initial parameters and running statistics, a function of (config, seed), computed in float64 and
        rounded once.
        """
        c = self.config
        params = prefixed("encoder", init_dense(seed, "encoder", c.in_dim, c.d_model))
        statistics: dict[str, Array] = {}
        gates = GATES[c.activation]
        for layer in layer_names(c.n_layers):
            seq = init_ssm(
                seed,
                layer,
                c.d_model,
                c.ssm_size,
                c.blocks,
                conj_sym=c.conj_sym,
                bidirectional=c.bidirectional,
                c_init=C_INITS[c.c_init],
                dt_min=c.dt_min,
                dt_max=c.dt_max,
            )
            params |= prefixed(f"{layer}.seq", seq)
            params |= {f"{layer}.norm.scale": np.ones(c.d_model), f"{layer}.norm.bias": np.zeros(c.d_model)}
            for gate in gates:
                params |= prefixed(
                    f"{layer}.{gate}", init_dense(seed, f"{layer}.{gate}", c.d_model, c.d_model)
                )
            if c.norm == "batch":
                statistics |= {
                    f"{layer}.norm.mean": np.zeros(c.d_model),
                    f"{layer}.norm.var": np.ones(c.d_model),
                }
        params |= prefixed("decoder", self.head.init(seed, c.d_model, c.n_classes))
        return map_leaves(lambda a: a.astype(dtype), params), map_leaves(
            lambda a: a.astype(dtype), statistics
        )

    def forward(
        self,
        params: Params,
        statistics: Params,
        batch: Batch,
        call: Call,
        states: Sequence[Array | None] | None = None,
        masks: Sequence[Masks] | None = None,
    ) -> tuple[Forward, ModelResiduals]:
        """The output for a batch, from each layer's initial state (zero if None).

        Raises S5Error naming the offending input: wrong rank, shape or dtype, an empty sequence, NaN or
        infinity, tokens or targets out of range, lengths outside 1…L.
        """
        check_params(self.config, params, statistics)
        batch = check_batch(self.config, params, batch)
        inputs, lengths, call = self.arranged(batch, call)
        kernel = params["encoder.kernel"]
        n_layers = self.config.n_layers
        if states is not None and len(states) != n_layers:
            raise S5Error(
                f"model: states must hold one initial state (or None) per layer, {n_layers}; got "
                f"{len(states)}.",
                "Pass forward.states of the piece before.",
            )
        if masks is None:
            masks = draw_masks(
                n_layers, inputs.shape[0], self.config.d_model, self.config.dropout, call, kernel
            )
        out, stack_residuals = stack(
            params, inputs, self.options, n_layers, call, statistics, masks, states or [None] * n_layers
        )
        output, head_residuals = self.head.apply.value(
            subtree(params, "decoder"), out.y, lengths, self.pool, call
        )
        return Forward(output, out.states, out.statistics), ModelResiduals(stack_residuals, head_residuals)

    def backward(
        self,
        residuals: ModelResiduals,
        doutput: Array,
        call: Call,
        dstates: Sequence[Array | None] | None = None,
    ) -> tuple[dict[str, Array], Array | None, list[Array]]:
        """(dparams, dinputs or None for tokens, dstates0) from the cotangents of the output and of the
        final states.
        """
        dparams, dfeatures = self.head.apply.vjp(residuals.head, doutput, call)
        dstates = dstates or [None] * self.config.n_layers
        dstack, dinputs, dx0s = stack_vjp(residuals.stack, (dfeatures, dstates), self.options, call)
        if dinputs is not None and self.head.documents == 2:
            n = dinputs.shape[0] // 2
            dinputs = np.stack([dinputs[:n], dinputs[n:]], axis=1)
        return prefixed("decoder", dparams) | dstack, dinputs, dx0s

    def loss_and_grad(
        self,
        params: Params,
        statistics: Params,
        batch: Batch,
        call: Call,
        states: Sequence[Array | None] | None = None,
        masks: Sequence[Masks] | None = None,
    ) -> LossAndGrad:
        """Mean loss over the batch and its gradient: cross-entropy, or the mean squared error of
        regression.
        """
        forward, residuals = self.forward(params, statistics, batch, call, states, masks)
        loss, doutput = self.loss(forward.output, check_batch(self.config, params, batch), call)
        grads, _, dx0s = self.backward(residuals, doutput, call)
        return LossAndGrad(loss, grads, forward.statistics, forward.output, forward.states, dx0s)

    def loss(self, output: Array, batch: Batch, call: Call) -> tuple[Array, Array]:
        """(loss, its gradient by the output). With padding="masked" a loss taken at every step counts the
        valid ones.
        """
        if batch.targets is None:
            raise S5Error(
                "model: a loss needs targets; got a batch without them.", "Pass Batch(inputs, targets)."
            )
        valid = (self.arranged(batch, call)[2].valid,) if self.head.stepwise else ()
        loss, residuals = self.head.loss.value(output, batch.targets, *valid)
        return loss, self.head.loss.vjp(residuals, np.ones_like(loss))

    def arranged(self, batch: Batch, call: Call) -> tuple[Array, Array | None, Call]:
        """Inputs and lengths with documents on the batch axis (all the first, then all the second), and the
        call with what every layer needs to know of the batch.
        """
        inputs, lengths, intervals = batch.inputs, batch.lengths, batch.intervals
        if self.head.documents == 2:
            inputs = np.concatenate([inputs[:, 0], inputs[:, 1]], axis=0)
            lengths = None if lengths is None else np.concatenate([lengths[:, 0], lengths[:, 1]], axis=0)
            intervals = (
                None if intervals is None else np.concatenate([intervals[:, 0], intervals[:, 1]], axis=0)
            )
        valid = None
        if self.config.padding == "masked" and lengths is not None:
            valid = (np.arange(inputs.shape[1], like=lengths)[None, :] < lengths[:, None])[:, :, None]
        return inputs, lengths, replace(call, intervals=intervals, valid=valid)
