"""A step of a stream is the offline model at that step, for any length and engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Engine, streaming
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@given(
    length=st.integers(1, 12),
    seed=st.integers(0, 100),
    bilinear=st.booleans(),
    norm=st.sampled_from(["batch", "layer"]),
)
@settings(max_examples=15)
@by_engine
def test_every_step_equals_the_offline_regression(
    engine: Engine, length: int, seed: int, bilinear: bool, norm: str
) -> None:
    config = replace(BASE, head="regression", norm=norm, discretization="bilinear" if bilinear else "zoh")
    at = problem("any step", str(seed), config, length=length, training=False, step_rescale=0.5)

    def offline(k: Engine) -> Any:
        return at.model.forward(at.params, at.statistics, at.batch, engine=k, **at.call).output

    want, budget = composite_budget(offline, SEQUENTIAL, range(4), at.terms)
    stream = streaming(at.model, at.params, at.statistics, engine, at.call["step_rescale"])
    state = stream.initial_state(3)
    for k in range(length):
        state, output = stream.step(state, at.batch.inputs[:, k])
        assert ratio(output, want[""][:, k], budget[""], 1.0) <= 1, k


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
