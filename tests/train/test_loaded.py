"""Predicting with what a run left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import Batch, Model, ModelConfig, S5Error
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.loaded import Loaded

MODEL = Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4, in_dim=2, n_classes=3, padding="masked"))
RNG = np.random.default_rng(0)
X, LENGTHS = RNG.standard_normal((7, 6, 2)), RNG.integers(1, 7, 7)
INTERVALS, RESETS = RNG.uniform(0.5, 2.0, (7, 6)), RNG.random((7, 6)) < 0.3
LOADED = Loaded(
    MODEL, *MODEL.init(0, "float64"), RunConfig("arrays", MODEL.config, train=TrainConfig(batch=3)), 0, "last"
)


@pytest.mark.parametrize("resets", [None, RESETS])
@pytest.mark.parametrize("intervals", [None, INTERVALS])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_what_belongs_to_the_sequences_follows_them_into_the_batches(
    lengths: Any, intervals: Any, resets: Any
) -> None:
    batch = Batch(X, lengths=lengths, intervals=intervals, resets=resets)
    whole = MODEL.forward(LOADED.params, LOADED.statistics, batch).output
    outputs = LOADED.outputs(X, lengths, intervals, resets=resets)
    np.testing.assert_allclose(outputs, whole, rtol=1e-12, atol=1e-13)
    lists = {
        name: None if x is None else x.tolist()
        for name, x in (("lengths", lengths), ("intervals", intervals))
    }
    predicted = LOADED.predict(X.tolist(), resets=resets, **lists)
    np.testing.assert_array_equal(predicted, whole.argmax(axis=1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((X, LENGTHS[:5]), "lengths must have one entry for each of the 7 sequences; got 5"),
        ((X, None, INTERVALS[:6]), "intervals must have one entry for each of the 7 sequences; got 6"),
        ((X[:0],), "at least one sequence"),
    ],
)
def test_refused(given: Any, words: str) -> None:
    with pytest.raises(S5Error, match=words):
        LOADED.predict(*given)
