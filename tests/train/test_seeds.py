"""Several seeds, overfitting one batch, one's own arrays, estimates."""

from __future__ import annotations

import os
import signal
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s5ref import NUMPY, Model, ModelConfig, S5Error, recipes
from s5ref.data.batches import Dataset
from s5ref.model.heads import HEADS
from s5ref.optim import OptimConfig
from s5ref.train import runs
from s5ref.train.api import train
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.estimate import estimate
from s5ref.train.loop import fit
from s5ref.train.overfit import overfit
from s5ref.train.results import Progress
from s5ref.train.seeds import fit_seeds


def test_each_seed_is_a_whole_run(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Callable[[Path, Path], None]
) -> None:
    result = fit_seeds(config, digits, tmp_path / "many", [4, 7], engine=NUMPY)
    accuracies = []
    for seed in (4, 7):
        one = fit(config, digits, tmp_path / f"one-{seed}", engine=NUMPY, seed=seed)
        same(tmp_path / f"one-{seed}", tmp_path / "many" / f"seed-{seed}")
        accuracies.append(one.test_accuracy or 0.0)
    assert [r.seed for r in result.seeds] == [4, 7]
    assert result.test_accuracy == statistics.fmean(accuracies)
    assert result.std == statistics.stdev(accuracies)
    assert result.not_learned == sum(r.learned is False for r in result.seeds)
    assert runs.read_seeds(tmp_path / "many") == [4, 7]
    with pytest.raises(S5Error, match="seed-4"):
        runs.load(tmp_path / "many")
    for again in ([4, 7], [1]):
        with pytest.raises(S5Error, match="already holds"):
            fit_seeds(config, digits, tmp_path / "many", again, engine=NUMPY)


def test_an_interrupted_run_over_seeds_is_resumed(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Callable[[Path, Path], None]
) -> None:
    def press(seed: int, progress: Progress) -> None:
        if (seed, progress.step) == (1, 4):
            os.kill(os.getpid(), signal.SIGINT)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit_seeds(config, digits, whole, [0, 1, 2], engine=NUMPY)
    stopped = fit_seeds(config, digits, parts, [0, 1, 2], engine=NUMPY, report=press)
    assert stopped.interrupted == signal.SIGINT
    assert [r.steps for r in stopped.seeds] == [15, 4]
    with pytest.raises(S5Error, match="seeds"):
        fit_seeds(config, digits, parts, [0, 1], engine=NUMPY, resume=True)
    done = fit_seeds(config, digits, parts, engine=NUMPY, resume=True)
    assert [r.steps for r in done.seeds] == [15, 15, 15]
    for seed in range(3):
        same(whole / f"seed-{seed}", parts / f"seed-{seed}")


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_bad_seeds_are_refused(seeds: list[int], config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(S5Error, match="different integers"):
        fit_seeds(config, digits, tmp_path, seeds, engine=NUMPY)


def test_overfit_learns_a_batch_or_says_that_it_did_not(config: RunConfig, digits: Dataset) -> None:
    config = config.override(["model.d_model=16", "model.ssm_size=16", "train.batch=8", "optim.lr=0.02"])
    result = overfit(config, digits, engine=NUMPY)
    assert result.learned
    assert result.accuracy == 1.0
    assert result.loss < 0.05
    assert result.examples == 8
    short = overfit(config, digits, engine=NUMPY, max_steps=2)
    assert not short.learned
    assert short.steps == 2


def test_training_on_ones_own_arrays(tmp_path: Path) -> None:
    """Is the mean of a sequence positive? And the regression of its running mean,
    and of its maximum."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 12, 1)) + rng.choice([-1.0, 1.0], (400, 1, 1))
    y = (x.mean((1, 2)) > 0).astype(int)
    arrays = {"train": (x[:200], y[:200]), "validation": (x[200:300], y[200:300]), "test": (x[300:], y[300:])}
    model = Model(ModelConfig(n_layers=1, d_model=8, ssm_size=8, in_dim=1, n_classes=2))
    recipe, optim = TrainConfig(batch=20, epochs=6), OptimConfig(lr=0.02, ssm_lr=0.01)
    result = train(model, arrays, recipe, optim=optim, run=tmp_path / "a", engine=NUMPY)
    assert result.learned
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.9
    labels = runs.load(tmp_path / "a").predict(x[300:])
    assert np.mean(labels == y[300:]) == result.test_accuracy

    means = np.cumsum(x, axis=1) / np.arange(1, 13)[:, None]
    arrays = {"train": (x[:200], means[:200]), "validation": (x[200:300], means[200:300])}
    model = Model(replace(model.config, n_classes=1, head="regression"))
    result = train(model, arrays, recipe, optim=optim, run=tmp_path / "b", engine=NUMPY)
    assert result.learned
    assert result.best_val_accuracy is None
    assert result.best_val_loss is not None
    assert result.best_val_loss < np.var(means) / 4
    assert result.test_loss is None

    largest = x.max((1, 2))  # (n,): one value of each sequence
    arrays = {"train": (x[:200], largest[:200]), "validation": (x[200:300], largest[200:300])}
    model = Model(replace(model.config, head="pooled_regression", pooling="mean+max"))
    result = train(model, arrays, recipe, optim=optim, run=tmp_path / "c", engine=NUMPY)
    assert result.learned
    assert result.best_val_accuracy is None
    assert result.best_val_loss is not None
    values = runs.load(tmp_path / "c").predict(x[200:300])
    assert values.shape == (100, 1)
    assert np.mean((values[:, 0] - largest[200:300]) ** 2) == pytest.approx(result.best_val_loss, rel=1e-5)
    assert result.best_val_loss < np.var(largest) / 4


@pytest.mark.parametrize("name", recipes.names())
def test_estimates_need_no_data(name: str) -> None:
    config = RunConfig.recipe(name)
    found = estimate(config)
    assert sum(row.parameters for row in found.groups) == found.parameters
    assert found.log_k == pytest.approx(np.log(config.model.n_classes))
    assert np.isfinite(found.init_loss)
    usual = config.model.c_init != "complex_normal"  # C has √P times the usual size, and so have logits
    if usual and HEADS[config.model.head].classifies:
        assert abs(found.init_loss - found.log_k) < 2.0
    assert found.parameter_bytes == 4 * found.parameters
    assert found.activation_bytes > 0
    assert found.total_seconds == found.steps * found.step_seconds > 0


@pytest.mark.parametrize("head", ["regression", "pooled_regression", "gaussian_regression"])
def test_an_estimate_of_a_regression(head: str) -> None:
    config = RunConfig.recipe("digits").override([f'model.head="{head}"', "model.n_classes=2"])
    assert np.isfinite(estimate(config).init_loss)
