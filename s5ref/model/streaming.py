"""A trained model one time step at a time: the state of every layer's SSM, carried by the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from s5ref.arrays import Array, Leaves, as_array
from s5ref.engine import Call, Engine, as_engine
from s5ref.errors import ConfigError, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.block import normalise
from s5ref.model.checks import check_batch, check_params
from s5ref.model.model import Model
from s5ref.model.stack import layer_names, stack
from s5ref.nn.pool import PoolResiduals
from s5ref.ssm.resets import check_resets
from s5ref.ssm.step import Stepper, initial_state, step, stepper
from s5ref.tree import described, subtree


@described
class StreamState(NamedTuple):
    """states: (N, S) complex, one per layer. Of the episode so far total: Σ of its features (N, H), largest:
    the largest of them (N, H), −∞ before the first step, count: its steps (N,).
    """

    states: tuple[Array, ...]
    total: Array
    largest: Array
    count: Array  # type: ignore[assignment]


Stepped: TypeAlias = tuple[StreamState, Array]


@described
@dataclass(frozen=True)
class Streaming:
    """A unidirectional model, discretised once; the parameters are those at its construction.

    ``stream = streaming(model, params, statistics); state = stream.initial_state(n)``, then at every
    time step ``state, output = stream.step(state, u)``: the output of the model for the sequence seen so far.
    ``state, output = stream.feed(state, inputs)`` takes many steps at once, and each goes on where the other
    ended. A state is a value: it may be kept, branched, and given to the stream of another engine.
    """

    model: Model
    params: Leaves
    statistics: Leaves
    call: Call
    steppers: tuple[Stepper, ...]

    def initial_state(self, n: int = 1) -> StreamState:
        """The state before the first step, for n sequences.

        Returns
        -------
        StreamState
            states (n, S) complex for each layer, zero or learned: S = P', or 2P' under first-order hold.
        """
        kernel = self.params["encoder.kernel"]
        total = np.zeros_like(kernel, shape=(n, kernel.shape[1]))
        largest = np.full_like(total, -np.inf)
        count = np.zeros_like(kernel, shape=(n,), dtype=np.int64)
        return StreamState(tuple(initial_state(s, n) for s in self.steppers), total, largest, count)

    def step(
        self,
        state: StreamState,
        u: Array,
        out: Stepped | None = None,
        resets: Array | None = None,
        intervals: Array | None = None,
    ) -> Stepped:
        """One more step.

        Parameters
        ----------
        state : StreamState
            As `initial_state` or the step before returned it.
        u : (N, in_dim) reals or (N,) tokens
        out : (StreamState, array) or None
            A (state, output) whose arrays the results are written to, ``state`` itself or another; what is
            returned holds these arrays.
        resets : (N,) bool or None
            True for a sequence of which this step begins a new episode: its state is first that of
            `initial_state`.
        intervals : (N,) reals or None
            The time since the step before, in units of the regular one; None: 1.

        Returns
        -------
        state : StreamState
        output : (N, K)
            Log-probabilities or values of the sequence so far, or the regression at this step.

        Raises
        ------
        S5Error
            On an input that does not fit or is not finite, or an ``out`` that does not fit; the state is as
            it was.
        """
        if resets is not None:
            state = self.afresh(state, check_resets("step", resets, "N", {"N": len(state.total)}))
        stepped = self._step(state, u, intervals)
        return stepped if out is None else written(stepped, out)

    def afresh(self, state: StreamState, resets: Array) -> StreamState:
        """The state with that of `initial_state` for the sequences ``resets`` (N,) bool."""
        start, row = self.initial_state(), resets[:, None]
        states = tuple(np.where(row, s, x) for s, x in zip(start.states, state.states, strict=True))
        total, largest = np.where(row, start.total, state.total), np.where(row, start.largest, state.largest)
        return StreamState(states, total, largest, np.where(resets, start.count, state.count))

    def feed(
        self,
        state: StreamState,
        inputs: Array,
        intervals: Array | None = None,
        resets: Array | None = None,
    ) -> Stepped:
        """Many more steps at once, through the layers of the engine: the numbers of `step` after `step`, up
        to rounding, in the time and memory of `Model.forward` on these inputs.

        Parameters
        ----------
        state : StreamState
            As `initial_state`, `step` or the `feed` before returned it.
        inputs : (N, L, in_dim) reals or (N, L) tokens
        intervals : (N, L) or None
            Sampling interval before each step, in units of the regular one; None: regular.
        resets : (N, L) bool or None
            True where an episode begins; (N,): at the first step.

        Returns
        -------
        state : StreamState
        output : (N, K) or (N, L, K)
            Log-probabilities or values of the sequence so far, or the regression at each of the L steps.

        Raises
        ------
        S5Error
            On inputs that do not fit or are not finite; the state is as it was.
        """
        params, windows = self.params, self.model.config.windows
        batch = check_batch(self.model.config, params, Batch(inputs, intervals=intervals, resets=resets))
        call = replace(self.call, initial_state=state.states)
        inputs, _, call = self.model.arranged(params, batch, call)
        given = params, inputs, self.model.encoder, self.model.options, windows
        out, _ = stack(*given, call, self.statistics)
        y, steps = out.y, np.full_like(state.count, inputs.shape[1])
        if call.resets is not None:  # what is pooled is the last episode of each row
            state = self.afresh(state, np.max(call.resets, axis=1))
            later = np.cumsum(call.resets[:, ::-1], axis=1)[:, ::-1] - call.resets  # resets after each step
            inside = (later == 0)[:, :, None]
            steps = np.sum(inside[:, :, 0], axis=1)
            y, lowest = np.where(inside, y, np.zeros_like(y)), np.full_like(y[:1, :1, :1], -np.inf)
            largest = np.max(np.where(inside, y, lowest), axis=1)
        else:
            largest = np.max(y, axis=1)
        total, largest = state.total + np.sum(y, axis=1), np.maximum(state.largest, largest)
        state = StreamState(tuple(out.states), total, largest, state.count + steps)
        return state, self._output(out.y, state)

    def _step(self, state: StreamState, u: Array, intervals: Array | None) -> Stepped:
        params, config, options, call = self.params, self.model.config, self.model.options, self.call
        spacing = None if intervals is None else as_array(intervals)[..., None]
        one = check_batch(config, params, Batch(as_array(u)[:, None], intervals=spacing))
        of_step, encoder = replace(call, intervals=one.intervals), self.model.encoder
        x, _ = encoder.apply.value(subtree(params, "encoder"), one.inputs, of_step)
        between = encoder.of_layers(of_step).intervals
        between = None if between is None else between[:, 0]
        states = []
        for name, layer_stepper, layer_state in zip(
            layer_names(config.n_layers), self.steppers, state.states, strict=True
        ):
            layer, running = subtree(params, name), subtree(self.statistics, name)
            v = normalise(layer, x, options, call, running)[0] if options.prenorm else x
            new_state, y = step(layer_stepper, layer_state, v[:, 0], intervals=between)
            states.append(new_state)
            x = x + options.mix.value(layer, y[:, None], (None, None), options.gelu(call.engine), call)[0]
            if not options.prenorm:
                x = normalise(layer, x, options, call, running)[0]
        total, largest = state.total + x[:, 0], np.maximum(state.largest, x[:, 0])
        state = StreamState(tuple(states), total, largest, state.count + 1)
        output = self._output(x, state)
        return state, output[:, 0] if self.model.head.stepwise else output

    def _output(self, x: Array, state: StreamState) -> Array:
        """The output for features x (N, L, H) of the steps up to ``state``."""

        def pool(x: Array, lengths: Array | None) -> tuple[Array, PoolResiduals]:
            mean, largest = state.total / state.count[:, None].astype(x.dtype), state.largest
            pooled = {"mean": mean, "last": x[:, -1], "max": largest, "mean+max": mean + largest}
            return pooled[self.model.config.pooling], PoolResiduals(x, 1)

        output, _ = self.model.head.apply.value(subtree(self.params, "decoder"), x, None, pool, self.call)
        return as_array(output)


def written(stepped: Stepped, out: Stepped) -> Stepped:
    """``stepped`` in the arrays of ``out``.

    Raises
    ------
    ShapeError
        If they are not of its shapes and dtypes; then nothing is written.
    """
    (state, output), (into, output_into) = stepped, out
    arrays = [*state.states, state.total, state.largest, state.count, output]
    targets = [*into.states, into.total, into.largest, into.count, output_into]
    wanted, arrived = ([(tuple(a.shape), a.dtype) for a in group] for group in (arrays, targets))
    if arrived != wanted:
        raise ShapeError(
            f"step: out must be a (state, output) of {_listed(wanted)}; got {_listed(arrived)}.",
            "Pass what an earlier step returned, for as many sequences.",
        )
    for target, array in zip(targets, arrays, strict=True):
        target[...] = array
    return out


def _listed(arrays: list[tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"{shape} {dtype}" for shape, dtype in arrays)


def streaming(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    engine: Engine | str | None = None,
    step_rescale: float = 1.0,
) -> Streaming:
    """The model one step at a time: inference, with running statistics and no dropout.

    Parameters
    ----------
    model, params, statistics
        As of `Model.forward`.
    engine : Engine, str or None
        What computes; None: `s5ref.engine.DEFAULT`.
    step_rescale : float
        Multiplies Δ.

    Raises
    ------
    S5Error
        For a bidirectional model, which sees the future, for one that compares two documents, and for one
        that pools events, whose deeper layers step more rarely than it does.
    """
    check_params(model.config, params, statistics)
    if model.head.documents != 1:
        raise ConfigError(
            f"streaming: one sequence per example; got head {model.config.head!r}, which compares two "
            "documents.",
            "Use Model.forward.",
        )
    if (stride := model.config.event_stride) > 1:
        raise ConfigError(
            f"streaming: every layer must step with the input; got model.event_stride = {stride}.",
            "Use Model.forward on whole windows.",
        )
    call = Call(as_engine(engine), step_rescale=step_rescale, keep_residuals=False)
    seqs = [subtree(params, f"{name}.seq") for name in layer_names(model.config.n_layers)]
    steppers = tuple(stepper(seq, model.options.ssm, step_rescale) for seq in seqs)
    stream: Streaming = call.engine.stream(model, params, statistics, call, steppers)
    return stream
