"""A model one time step at a time in one compiled call. Stands in for s5ref.model.streaming.Streaming.

A step of one sequence reads every weight once and does little else. So the weights lie in the order in which
they are read, each matrix below the row that is added to its product, and a step makes no array but its
results, and with ``out`` not these; the compiled call takes a few KB for its length.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array, Leaves, as_array, to_pairs
from s5ref.cpu import memory
from s5ref.cpu.compile import announce
from s5ref.cpu.stream_step import Options, Weights, step
from s5ref.engine import Call
from s5ref.model.leaves import GATES
from s5ref.model.mix import full_glu, gelu_only, half_glu1, half_glu2
from s5ref.model.model import Model
from s5ref.model.stack import layer_names
from s5ref.model.streaming import Stepped, Streaming, StreamState, written
from s5ref.nn.norm import BATCH_NORM_EPS
from s5ref.ssm.resets import check_resets
from s5ref.ssm.step import Stepper
from s5ref.tree import subtree

TOKENS = np.empty(0, np.int64)  # what stands for tokens where reals are given, and the other way round:
NO_RESETS = np.empty(0, np.bool_)
REALS = {np.dtype(real): np.empty((0, 0), real) for real in (np.float32, np.float64)}
MIXES = (gelu_only, half_glu1, half_glu2, full_glu)  # what the compiled step computes after an SSM

_compiling = threading.Lock()


class Packed(tuple[Array, ...]):
    """The states of the layers, (N, P') each, as views of one array ``whole`` (layers, N, P')."""

    whole: Array | None = None

    def __reduce__(self) -> Any:
        """Copies and pickles are views of one array, too."""
        return (tuple, (tuple(self),)) if self.whole is None else (packed, (self.whole,))


def packed(whole: Array) -> Packed:
    """The layers of (layers, N, P')."""
    states = Packed(map(whole.__getitem__, range(len(whole))))
    states.whole = whole
    return states


def stream(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    call: Call,
    steppers: tuple[Stepper, ...],
) -> Streaming:
    """A `CompiledStreaming`, compiled here and not at its first step. Dtypes other than float32 and float64,
    arrays of a device, the GELU of the error function, activations that are none of `MIXES`, and a hold that
    needs the input of the step before, image encoders and heads of several matrices run the reference.
    """
    config, given = model.config, (model, params, statistics, call, steppers)
    leaves = [*params.values(), *statistics.values()]
    known = config.gelu == "tanh" and model.options.mix.value in MIXES
    known = known and model.options.ssm.discretization.gains == 1
    known = known and config.encoder == "linear" and "decoder.kernel" in params
    if not known or not all(isinstance(leaf, np.ndarray) and leaf.dtype in REALS for leaf in leaves):
        return Streaming(*given)
    weights = weights_of(model, params, statistics, steppers)
    pooled = () if model.head.stepwise else config.pooling.split("+")
    options = Options(
        batch_norm=int(config.norm == "batch"),
        prenorm=int(config.prenorm),
        gates=len(GATES[config.activation]),
        gates_gelu=int(config.activation == "half_glu1"),
        pools_mean=int("mean" in pooled),
        pools_max=int("max" in pooled),
        classifies=int(model.head.classifies),
    )
    compiled = CompiledStreaming(
        *given, (tuple(weights), np.array(options)), config.n_classes, weights.decoder.dtype
    )
    compiled.compile()
    return compiled


def weights_of(model: Model, params: Leaves, statistics: Leaves, steppers: tuple[Stepper, ...]) -> Weights:
    """The weights of a model, laid out for `step`."""
    into, back = [], []
    for name, of in zip(layer_names(len(steppers)), steppers, strict=True):
        Lambda_bar, B_bar, C, D, s = of.Lambda_bar, of.B_bar, of.C, of.D, of.s
        layer, running = subtree(params, name), subtree(statistics, name)
        mean, factor = np.zeros_like(D), layer["norm.scale"]
        if running:
            mean, factor = running["norm.mean"], factor / np.sqrt(running["norm.var"] + BATCH_NORM_EPS)
        pairs = 2 * len(Lambda_bar)
        rows = np.vstack([Lambda_bar, s, B_bar.T])
        into.append(to_pairs(rows).reshape(-1, pairs))
        C_rows = np.stack([C.real.T, -C.imag.T], axis=1).reshape(pairs, -1)
        gates = [
            layer[f"{gate}.{leaf}"] for gate in GATES[model.config.activation] for leaf in ("bias", "kernel")
        ]
        back.append(np.vstack([mean, factor, layer["norm.bias"], D, C_rows, *gates]))
    encoder, decoder = (
        np.vstack([params[f"{name}.bias"], params[f"{name}.kernel"]]) for name in ("encoder", "decoder")
    )
    return Weights(*map(_aligned, (encoder, np.stack(into), np.stack(back), decoder)))


def _aligned(x: Array) -> Array:
    """A copy of x that starts at a cache line."""
    copy = memory.aligned(x.shape, x.dtype)
    copy[...] = x
    return copy


@dataclass(frozen=True)
class CompiledStreaming(Streaming):
    """A `Streaming` whose step is one compiled call. Its states are `Packed`; those of others are packed.
    A step with an interval discretises anew and is the reference's.
    """

    arguments: tuple[Any, ...]  # of `step`: those that no step changes
    outputs: int
    dtype: np.dtype[Any]

    def initial_state(self, n: int = 1) -> StreamState:
        """The state before the first step, for n sequences."""
        state = super().initial_state(n)
        return state._replace(states=packed(np.stack(state.states)))

    def step(
        self,
        state: StreamState,
        u: Array,
        out: Stepped | None = None,
        resets: Array | None = None,
        intervals: Array | None = None,
    ) -> Stepped:
        """(state, output) after one more step; see `Streaming.step`."""
        if intervals is not None:
            stepped = super().step(state, u, None, resets, intervals)
            return (_packed(stepped[0]), stepped[1]) if out is None else written(stepped, out)
        flags = NO_RESETS
        if resets is not None:
            flags = np.array(check_resets("step", resets, "N", {"N": len(state.total)}))
        result = self._compiled(state, u, out, flags)
        if result is not None:
            return result
        result = self._compiled(_packed(state), u, None, flags)  # the state, or out, is not this engine's
        if result is not None:
            return result if out is None else written(result, out)
        return super().step(state, u, out, resets)  # which also says why the step is refused, if it is

    def compile(self) -> None:
        """Compile, or read what was compiled before, for this dtype; and from here on for no other type."""
        announce()
        with _compiling:
            step.disable_compile(False)
            try:
                u = np.zeros((1, self.model.config.in_dim), self.dtype)
                self._compiled(self.initial_state(), u, None, NO_RESETS)
            finally:
                step.disable_compile()

    def _compiled(self, state: StreamState, u: Array, out: Stepped | None, resets: Array) -> Stepped | None:
        """None, and nothing is written, where the arrays are not those of this stream or a result is not
        finite.
        """
        if not (isinstance(u, np.ndarray) and u.flags.carray and u.dtype in (self.dtype, TOKENS.dtype)):
            u = self._input(u)
        reals, tokens = (REALS[self.dtype], u) if u.dtype == TOKENS.dtype else (u, TOKENS)
        states: Any
        try:
            if out is None:
                states = packed(np.empty_like(state.states.whole))  # type: ignore[attr-defined]
                total, largest, count = map(np.empty_like, (state.total, state.largest, state.count))
                output = np.empty((len(u), self.outputs), self.dtype)
            else:
                (states, total, largest, count), output = out
            before = state.states.whole, state.total, state.largest, state.count  # type: ignore[attr-defined]
            after = states.whole, total, largest, count, output
            fits = step(*self.arguments, reals, tokens, resets, before, after)
        except (AttributeError, TypeError):
            return None
        return (StreamState(states, total, largest, count), output) if fits else None

    def _input(self, u: Array) -> Array:
        """u, if it is real or integer, in the dtype and the layout of the compiled step."""
        u = as_array(u)
        kinds = {"f": self.dtype, "i": TOKENS.dtype, "u": TOKENS.dtype}
        return np.array(u, kinds[u.dtype.kind], order="C") if u.dtype.kind in kinds else u


def _packed(state: StreamState) -> StreamState:
    """A copy of a state whose layers are arrays of their own; itself where they are no layers."""
    try:
        states, *others = np.stack(state.states), *map(np.array, (state.total, state.largest, state.count))
        return StreamState(packed(states), *others)
    except (TypeError, ValueError):
        return state
