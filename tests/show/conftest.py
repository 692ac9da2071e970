"""Runs to look at: a tiny model on a few real digits, trained once a session by the NUMPY engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s5ref import NUMPY, series
from s5ref.data.batches import Dataset, Split
from s5ref.data.digits import load
from s5ref.train import plot
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.seeds import fit_seeds

TINY = [
    "model.n_layers=2", "model.d_model=6", "model.ssm_size=4", "model.blocks=1", "train.batch=30",
    "train.epochs=2",
]  # fmt: skip


def _head(split: Split, n: int) -> Split:
    return replace(split, inputs=split.inputs[:n, :16], targets=split.targets[:n])


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return RunConfig.recipe("digits").override(TINY)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """16 of the 64 steps of a few digits."""
    d = load()
    assert d.test is not None
    return replace(d, train=_head(d.train, 90), validation=_head(d.validation, 40), test=_head(d.test, 60))


@pytest.fixture(scope="session")
def run(config: RunConfig, digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of seed 3."""
    folder = tmp_path_factory.mktemp("one") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "curves", lambda run: None)  # drawing takes longer than this training
        fit(config, digits, folder, engine=NUMPY, seed=3)
    return folder


@pytest.fixture(scope="session")
def seeds(config: RunConfig, digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of a run with one layer and one epoch."""
    folder = tmp_path_factory.mktemp("several") / "seeds"
    other = config.override(["model.n_layers=1", "train.epochs=1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "curves", lambda run: None)
        fit_seeds(other, digits, folder, [0, 1, 2], engine=NUMPY)
    return folder


@pytest.fixture
def interrupted(config: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stopped after the second update, before an epoch ended."""
    monkeypatch.setattr(plot, "curves", lambda run: None)
    fit(config, digits, tmp_path / "run", engine=NUMPY, stop_after=2)
    return tmp_path / "run"


def waves(path: Path, classes: bool, seed: int) -> None:
    """24 series of two channels and 15 to 40 steps; in channel 1 a wave, whose rate is the target or decides
    the class.
    """
    rng = np.random.default_rng(seed)
    rates, lengths = rng.uniform(0.2, 1.0, 24), rng.integers(15, 41, 24)
    X = 0.1 * rng.standard_normal((24, 2, 40))
    X[:, 1] += np.sin(rates[:, None] * np.arange(40) + rng.uniform(0, 6.3, (24, 1)))
    y = np.where(rates > 0.5, "<fast>", "slow") if classes else rates
    np.savez(path, X=X, lengths=lengths, y=y)


def fit_run(folder: Path, kind: str, **params: object) -> Path:
    """A run of `s5ref fit`: an estimator of that name, fitted to waves, and a test file beside it."""
    estimators = pytest.importorskip("s5ref.estimators")
    from s5ref.estimators.folder import write

    folder.mkdir()
    classes = kind.endswith("Classifier")
    for name, seed in (("train", 0), ("test", 1)):
        waves(folder / f"{name}.npz", classes, seed)
    task = "classes" if classes else "real"
    how = {"target": "y", "id": None, "time": None, "task": task, "channels": "auto"}
    table = series.read(folder / "train.npz", target="y")
    estimator = getattr(estimators, kind)(random_state=0, **params).fit(*table.training())
    write(folder, estimator, {
        "file": "train.npz", "description": table.description, "method": kind, "seconds": 1.5, "read": how,
        "left_out": getattr(estimator, "left_out_score_", None),
        "test": 0.5, "test_file": str(folder / "test.npz"),
    })  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `s5ref fit` with classes."""
    return fit_run(tmp_path_factory.mktemp("fit") / "run", "S5FeatureClassifier", n_filters=60)


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `s5ref fit` with real targets."""
    return fit_run(tmp_path_factory.mktemp("fit") / "run", "S5FeatureRegressor", n_filters=60)
