"""A step of a stream is the offline model at that step, for any length and engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Engine, ShapeError, streaming
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@given(
    length=st.integers(1, 12),
    seed=st.integers(0, 100),
    bilinear=st.booleans(),
    norm=st.sampled_from(["batch", "layer"]),
    resets=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=15)
@by_engine
def test_every_step_equals_the_offline_regression(
    engine: Engine, length: int, seed: int, bilinear: bool, norm: str, resets: float
) -> None:
    config = replace(BASE, head="regression", norm=norm, discretization="bilinear" if bilinear else "zoh")
    config = replace(config, learn_initial_state=resets > 0)
    variant: Any = {"training": False, "step_rescale": 0.5, "resets": resets}
    at = problem("any step", str(seed), config, length=length, **variant)

    def offline(k: Engine) -> Any:
        return at.model.forward(at.params, at.statistics, at.batch, engine=k, **at.call).output

    want, budget = composite_budget(offline, SEQUENTIAL, range(4), at.terms)
    stream = streaming(at.model, at.params, at.statistics, engine, at.call["step_rescale"])
    state = stream.initial_state(3)
    for k in range(length):
        flags = None if at.batch.resets is None else at.batch.resets[:, k]
        state, output = stream.step(state, at.batch.inputs[:, k], resets=flags)
        assert ratio(output, want[""][:, k], budget[""], 1.0) <= 1, k


@pytest.mark.parametrize("pooling", ["mean", "max", "mean+max"])
@by_engine
def test_after_a_reset_a_stream_is_that_of_the_episode_alone(engine: Engine, pooling: str) -> None:
    at = problem("stream", "episodes", replace(BASE, pooling=pooling, learn_initial_state=True), length=5)
    stream, u = streaming(at.model, at.params, at.statistics, engine), at.batch.inputs
    state, alone = stream.initial_state(3), stream.initial_state(2)
    state, _ = stream.step(state, u[:, 0])
    worst = tuple(np.where(np.arange(3)[:, None] == 1, x, np.nan) for x in state.states)
    flags = np.array([True, False, True])
    state = state._replace(states=worst)  # an episode may have ended in an overflow
    for k in range(1, 5):
        state, output = stream.step(state, u[:, k], resets=flags if k == 1 else None)
        alone, want = stream.step(alone, u[flags, k])
        np.testing.assert_allclose(output[flags], want, rtol=1e-12)
    assert state.count.tolist() == [4, 5, 4]
    with pytest.raises(ShapeError, match=r"resets must be \(N\) with N=3; got \(2,\)"):
        stream.step(state, u[:, 0], resets=flags[:2])


def test_streaming_tokens_and_lists() -> None:
    at = problem("stream", "tokens", BASE, tokens=True, training=False)
    stream = streaming(at.model, at.params, at.statistics, NUMPY)
    state, want = (
        stream.initial_state(3),
        at.model.forward(at.params, at.statistics, at.batch, engine=NUMPY).output,
    )
    for k in range(at.batch.inputs.shape[1]):
        state, output = stream.step(state, at.batch.inputs[:, k].tolist())
    _, budget = composite_budget(
        lambda k: at.model.forward(at.params, at.statistics, at.batch, engine=k).output,
        SEQUENTIAL,
        range(4),
        at.terms,
    )
    assert ratio(output, want, budget[""], 1.0) <= 1
