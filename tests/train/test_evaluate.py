"""What an evaluation counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s5ref import NUMPY, Batch, Model, ModelConfig
from s5ref.data.user import from_arrays
from s5ref.train.evaluate import evaluate
from s5ref.train.selection import Best, better, learned

CONFIG = ModelConfig(
    n_layers=1, d_model=4, ssm_size=4, in_dim=1, n_classes=1, head="regression", padding="masked"
)
LENGTHS = np.array([3, 9, 5, 1, 7])
INSIDE = np.arange(9) < LENGTHS[:, None]
X = np.random.default_rng(0).standard_normal((5, 9, 1))
TARGETS = np.where(INSIDE[..., None], 0.0, 1000.0)
SPLIT = from_arrays([(X, TARGETS, LENGTHS)] * 2, head="regression").validation


@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_masked_regression_does_not_count_its_padding(batch_size: int) -> None:
    model = Model(CONFIG)
    params, statistics = model.init(0, "float64")
    found = evaluate(model, params, statistics, SPLIT, NUMPY, batch_size)
    output = model.forward(params, statistics, Batch(X, lengths=LENGTHS), engine=NUMPY).output
    assert found.loss == pytest.approx(np.mean(output[INSIDE] ** 2), rel=1e-12)
    loss = model.loss(output, Batch(X, TARGETS, LENGTHS))[0]
    assert found.loss == pytest.approx(loss, rel=1e-12)  # what training minimises
    assert (found.accuracy, found.examples) == (None, 5)


def test_upstream_padding_counts_every_step_as_its_loss_does() -> None:
    model = Model(replace(CONFIG, padding="upstream"))
    params, statistics = model.init(0, "float64")
    found = evaluate(model, params, statistics, SPLIT, NUMPY)
    output = model.forward(params, statistics, Batch(X, lengths=LENGTHS), engine=NUMPY).output
    assert found.loss == pytest.approx(np.mean((output - TARGETS) ** 2), rel=1e-12)


def test_learned_looks_at_the_valid_targets_alone() -> None:
    valid = Model(CONFIG).valid_steps(Batch(X, lengths=LENGTHS))
    assert learned(Best(1, 1, 1.0, None), SPLIT)  # the padding's 1000 is all the variance that there is
    assert not learned(Best(1, 1, 1.0, None), SPLIT, valid)


@pytest.mark.parametrize("batch_size", [2, 5])
def test_with_variances_the_error_is_that_of_the_means_and_the_loss_the_likelihood(batch_size: int) -> None:
    model = Model(replace(CONFIG, head="gaussian_regression", norm="layer"))
    params, statistics = model.init(0, "float64")
    found = evaluate(model, params, statistics, SPLIT, NUMPY, batch_size)
    output = model.forward(params, statistics, Batch(X, lengths=LENGTHS), engine=NUMPY).output
    assert output.shape == (5, 9, 2)
    assert found.mse == pytest.approx(np.mean(output[INSIDE][:, 0] ** 2), rel=1e-12)
    assert found.loss == pytest.approx(model.loss(output, Batch(X, TARGETS, LENGTHS))[0], rel=1e-12)
    mean, variance = output[INSIDE].T
    density = np.exp(-(mean**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    assert found.loss == pytest.approx(-np.mean(np.log(density)), rel=1e-12)


def test_the_best_epoch_of_a_regression_has_the_lowest_error_not_the_lowest_loss() -> None:
    sure, accurate = Best(1, 1, -3.0, None, 0.2), Best(2, 2, -1.0, None, 0.1)
    assert better(accurate, sure)
    assert not better(sure, accurate)
    assert not better(accurate._replace(loss=np.nan), sure)
    assert better(Best(2, 2, 0.1, None), Best(1, 1, 0.2, None))  # checkpoints from before there was mse
