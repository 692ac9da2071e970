"""A stream on every engine: states are values, ``out`` takes the results, what does not fit is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import NUMPY, Engine, S5Error, Streaming, streaming
from s5ref.model.streaming import StreamState
from s5ref.tree import leaves, map_leaves
from s5ref.verification.rounding.budget import cast
from s5ref.verification.selfcheck.problems import BASE, Problem, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
N, LENGTH = 3, 7
PROBLEMS = {
    "classifier": problem("stream", "classifier", BASE, n=N, length=LENGTH, training=False),
    "regression": problem(
        "stream", "regression", replace(BASE, head="regression", norm="layer"), n=N, length=LENGTH
    ),
    "tokens": problem("stream", "tokens", BASE, n=N, length=LENGTH, tokens=True),
    "pooled regression, mean+max": problem(
        "stream", "pooled", replace(BASE, head="pooled_regression", pooling="mean+max"), n=N, length=LENGTH
    ),
}
by_problem = pytest.mark.parametrize("at", PROBLEMS.values(), ids=PROBLEMS)


def stream_of(at: Problem, engine: Engine, dtype: str = "float64") -> Streaming:
    return streaming(at.model, cast(at.params, dtype), cast(at.statistics, dtype), engine)


def bits(tree: Any) -> dict[str, Any]:
    return {path: leaf.tobytes() if isinstance(leaf, np.ndarray) else leaf for path, leaf in leaves(tree)}


def arrays(stepped: Any) -> list[Any]:
    """The arrays of a (state, output)."""
    return [leaf for _, leaf in leaves(stepped) if isinstance(leaf, np.ndarray)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@by_problem
@by_engine
def test_out_has_the_bits_of_a_pure_step_and_a_pure_step_leaves_its_state(
    engine: Engine, at: Problem, dtype: str
) -> None:
    stream = stream_of(at, engine, dtype)
    inputs = cast(at.batch.inputs, dtype)
    state = stream.initial_state(N)
    into = stream.step(state, inputs[:, 0])  # any arrays of the right shapes
    inplace = stream.initial_state(N)
    given = arrays(inplace)
    for k in range(LENGTH):
        before = bits(state)
        pure = stream.step(state, inputs[:, k])
        assert bits(state) == before
        other = stream.step(state, inputs[:, k], out=into)
        assert bits(state) == before
        assert [id(a) for a in arrays(other)] == [id(a) for a in arrays(into)]
        inplace, output = stream.step(inplace, inputs[:, k], out=(inplace, into[1]))
        assert bits(pure) == bits(other) == bits((inplace, output))
        assert inplace.count == k + 1
        state = pure[0]
    assert [id(a) for a in arrays(inplace)] == [id(a) for a in given]


@by_engine
def test_an_output_that_is_the_next_input_may_be_written_over_it(engine: Engine) -> None:
    """What generates its own sequence: in_dim = n_classes."""
    stream = stream_of(problem("stream", "generated", replace(BASE, head="regression", n_classes=3)), engine)
    state = other = stream.initial_state(N)
    u: Any = np.ones((N, 3))
    v = u.copy()
    for _ in range(4):
        state, u = stream.step(state, u)
        other, v = stream.step(other, v, out=(other, v))
        np.testing.assert_array_equal(u, v)


@by_problem
@by_engine
def test_a_branched_a_copied_and_a_stored_state_go_on_as_the_state_does(engine: Engine, at: Problem) -> None:
    stream, inputs = stream_of(at, engine), at.batch.inputs
    state, _ = stream.step(stream.initial_state(N), inputs[:, 0])
    copies: list[StreamState] = [copy.deepcopy(state), pickle.loads(pickle.dumps(state))]
    want = bits(stream.step(state, inputs[:, 1]))
    stream.step(state, inputs[:, 2])  # another branch
    assert bits(stream.step(state, inputs[:, 1])) == want
    for kept in [*copies, map_leaves(lambda leaf: leaf, state), copy.copy(state)]:
        assert bits(stream.step(kept, inputs[:, 1])) == want
    for kept in copies:
        there = stream.step(kept, inputs[:, 1], out=(kept, np.empty((N, 4))))
        assert bits(there) == want
        assert bits(kept)["states.0"] == want["0.states.0"]
    changed = state._replace(states=(*state.states[1:], *state.states[:1]))
    stacked = state._replace(states=tuple(map(np.array, changed.states)))
    assert bits(stream.step(changed, inputs[:, 1])) == bits(stream.step(stacked, inputs[:, 1])) != want


@by_problem
def test_a_state_goes_from_engine_to_engine(at: Problem) -> None:
    streams = [stream_of(at, engine) for engine in (*ENGINES, *reversed(ENGINES))]
    state, into = (
        streams[0].initial_state(N),
        streams[-1].step(streams[-1].initial_state(N), at.batch.inputs[:, 0]),
    )
    for k in range(LENGTH):
        want = stream_of(at, NUMPY).step(state, at.batch.inputs[:, k])
        for stream in streams:
            for out in (None, into):
                got = stream.step(state, at.batch.inputs[:, k], out)
                for one, other in zip(arrays(got), arrays(want), strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
        state = streams[k % len(streams)].step(state, at.batch.inputs[:, k])[0]


REFUSED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "NaN": ("classifier", lambda u: u * np.nan),
    "one infinity": ("classifier", lambda u: np.where(np.arange(u.size).reshape(u.shape) == 4, np.inf, u)),
    "no channel axis": ("classifier", lambda u: u[:, 0]),
    "another channel axis": ("classifier", lambda u: u[:, :2]),
    "a time axis": ("classifier", lambda u: u[:, None]),
    "another batch": ("classifier", lambda u: u[:2]),
    "no batch": ("classifier", lambda u: u[:0]),
    "complex": ("classifier", lambda u: u + 0j),
    "boolean": ("classifier", lambda u: u > 0),
    "lists with NaN": ("classifier", lambda u: (u * np.nan).tolist()),
    "an overflow within": ("classifier", lambda u: u * 1e308),
    "a token too many": ("tokens", lambda u: u + 3),
    "a negative token": ("tokens", lambda u: u - 3),
    "a huge token": ("tokens", lambda u: u.astype(np.uint64) + np.uint64(2**63)),
    "tokens of another batch": ("tokens", lambda u: np.append(u, 0)),
    "tokens with a time axis": ("tokens", lambda u: u[:, None]),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@by_engine
def test_a_refused_step_says_the_same_on_every_engine_and_writes_nothing(engine: Engine, case: str) -> None:
    name, spoil = REFUSED[case]
    at = PROBLEMS[name]
    u = spoil(at.batch.inputs[:, 0])
    said = []
    for each in (NUMPY, engine):
        stream = stream_of(at, each)
        state, output = stream.step(stream.initial_state(N), at.batch.inputs[:, 0])
        before = bits(state)
        for out in (None, (state, output)):
            with pytest.raises(S5Error) as refused:
                stream.step(state, u, out)
            said.append(str(refused.value))
        assert bits(state) == before
    assert len(set(said)) == 1


@by_engine
def test_an_out_that_does_not_fit_is_refused(engine: Engine) -> None:
    at = PROBLEMS["classifier"]
    stream, u = stream_of(at, engine), at.batch.inputs[:, 0]
    state, output = stream.step(stream.initial_state(N), u)
    before = bits(state)
    for out in (
        (stream.initial_state(2), output),
        (state, output[:2]),
        (state, output.astype("f")),
        (state._replace(total=state.total[:, :-1]), output),
        (state._replace(largest=state.largest[:, :-1]), output),
        (state._replace(states=state.states[:1]), output),
        (state._replace(states=tuple(s.astype("F") for s in state.states)), output),
    ):
        with pytest.raises(S5Error, match="out must be") as refused:
            stream.step(state, u, out)
        assert "(3, 4) complex128, (3, 4) complex128, (3, 5) float64, (3, 5) float64, (3, 4) float64" in str(
            refused.value
        )
    assert bits(state) == before


@pytest.mark.parametrize("rule", ["zoh", "bilinear", "dirac", "async", "foh"])
@by_engine
def test_a_step_takes_the_time_since_the_step_before(engine: Engine, rule: str) -> None:
    """Step by step with intervals, one of them 0, the output is that of the whole sequence; ``out`` too."""
    config = replace(BASE, discretization=rule)
    at = problem("stream", f"intervals {rule}", config, n=N, length=LENGTH, training=False, irregular=True)
    intervals = at.batch.intervals
    assert intervals is not None
    intervals[1, 3] = 0
    stream = stream_of(at, engine)
    state = stream.initial_state(N)
    state, output = stream.step(state, at.batch.inputs[:, 0], intervals=intervals[:, 0])
    for k in range(1, LENGTH):
        into = state, output
        state, output = stream.step(state, at.batch.inputs[:, k], into, intervals[:, k])
        assert output is into[1]
    whole = at.model.forward(at.params, at.statistics, at.batch, engine="sequential")
    np.testing.assert_allclose(output, whole.output, rtol=0, atol=1e-12)
    for got, want in zip(state.states, whole.states, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@by_engine
def test_intervals_that_do_not_fit_are_refused(engine: Engine) -> None:
    at = PROBLEMS["classifier"]
    stream = stream_of(at, engine)
    state, u = stream.initial_state(N), at.batch.inputs[:, 0]
    for wrong, words in (
        (-np.ones(N), "must not be negative"),
        (np.ones(N + 1), "intervals"),
        (1.0, "interv"),
    ):
        with pytest.raises(S5Error, match=words):
            stream.step(state, u, intervals=wrong)  # type: ignore[arg-type]
    stream.step(state, u, intervals=np.ones(N))
