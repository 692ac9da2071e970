"""Gradient × input sums to the slope of the log-odds when the inputs are scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import Batch, Model, ModelConfig
from s5ref.arrays import Array
from s5ref.data.batches import Scale, Split, to_tokens
from s5ref.show.answers import answer
from s5ref.show.attribution import attribute, choose
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.loaded import Loaded

N, L = 12, 10


def _loaded(**more: Any) -> Loaded:
    config = ModelConfig(n_layers=2, d_model=6, ssm_size=4, n_classes=3, **more)
    model = Model(config)
    params, statistics = model.init(seed=0, dtype="float64")
    return Loaded(
        model, params, statistics, RunConfig("digits", config, train=TrainConfig(batch=5)), 0, "last"
    )


def _split(kind: str, lengths: Array | None = None) -> Split:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, N)
    if kind == "reals":
        return Split(rng.standard_normal((N, L, 2)), targets, Scale(), lengths)
    shape = (N, 2, L) if kind == "documents" else (N, L)
    return Split(rng.integers(0, 5, shape), targets, to_tokens, lengths)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("reals", {"in_dim": 2}), ("tokens", {"in_dim": 5}), ("documents", {"in_dim": 5, "head": "retrieval"})],
)
def test_steps_sum_to_the_slope(kind: str, more: dict[str, Any]) -> None:
    loaded, split = _loaded(**more), _split(kind)
    answers = answer(loaded, "test", split, "", "numpy")
    examples = choose(answers.output, answers.targets)
    assert {e.answer == e.label for e in examples} == {True, False}
    for e in examples:
        one = attribute(loaded, answers, e, "numpy")
        x = split.batch([e.row], "float64").inputs
        reals = x if kind == "reals" else np.eye(5)[x]

        def odds(scale: float, e: Any = e, reals: Array = reals) -> float:
            y = loaded.model.forward(loaded.params, loaded.statistics, Batch(scale * reals)).output[0]
            return float(y[e.answer] - y[e.rival])

        slope = (odds(1 + 1e-5) - odds(1 - 1e-5)) / 2e-5
        assert np.sum(one.steps) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert np.array_equal(one.inputs, x[0].reshape(one.inputs.shape))
        assert e.rival == (e.label if e.answer != e.label else np.argsort(-answers.output[e.row])[1])


def test_only_valid_steps_are_shown() -> None:
    lengths = np.arange(N) % L + 1
    loaded = _loaded(in_dim=2, padding="masked")
    answers = answer(loaded, "test", _split("reals", lengths), "", "numpy")
    for e in choose(answers.output, answers.targets):
        one = attribute(loaded, answers, e, "numpy")
        assert one.steps.shape == (lengths[e.row],)
        assert len(one.inputs) == len(one.steps)
    pairs = np.stack([lengths, lengths[::-1]], axis=1)
    loaded = _loaded(in_dim=5, head="retrieval")
    answers = answer(loaded, "test", _split("documents", pairs), "", "numpy")
    for e in choose(answers.output, answers.targets):
        one = attribute(loaded, answers, e, "numpy")
        assert len(one.steps) == pairs[e.row].sum()
