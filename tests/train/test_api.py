"""Training on one's own arrays from Python: what a loop of runs and a wrong argument get."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, ConfigError, Model, ModelConfig
from s5ref.train import runs
from s5ref.train.api import train
from s5ref.train.config import TrainConfig
from s5ref.train.results import Progress

MODEL = Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4, in_dim=1, n_classes=2))
X = np.random.default_rng(0).standard_normal((40, 5, 1))
ARRAYS = {"train": (X, np.arange(40) % 2), "validation": (X, np.arange(40) % 2)}


def test_ctrl_c_saves_and_ends_a_loop_of_runs(tmp_path: Path) -> None:
    def press(progress: Progress) -> None:
        if progress.phase == "train" and progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def three_runs() -> None:
        for name in "abc":
            train(MODEL, ARRAYS, TrainConfig(batch=10), run=tmp_path / name, engine=NUMPY, callbacks=[press])

    with pytest.raises(KeyboardInterrupt):
        three_runs()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert runs.load(tmp_path / "a", "last").step == 3


def test_a_configuration_of_another_type_is_refused(tmp_path: Path) -> None:
    config: Any = {"epochs": 2}
    with pytest.raises(ConfigError, match="must be a TrainConfig or a RunConfig; got dict"):
        train(MODEL, ARRAYS, config, run=tmp_path, engine=NUMPY)


def test_integers_are_reals_where_training_took_them_so(tmp_path: Path) -> None:
    whole = np.round(10 * X).astype(int)
    arrays = {"train": (whole, np.arange(40) % 2), "validation": (whole, np.arange(40) % 2)}
    train(MODEL, arrays, TrainConfig(batch=10, epochs=1), run=tmp_path / "run", engine=NUMPY)
    loaded = runs.load(tmp_path / "run", "last")
    np.testing.assert_array_equal(loaded.outputs(whole), loaded.outputs(whole.astype(float)))


def test_a_model_that_does_not_fit_in_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: Any) -> None:
        raise MemoryError("Unable to allocate 2.00 TiB")

    monkeypatch.setattr(Model, "init", init)
    with pytest.raises(ConfigError, match="must fit in memory: Unable to allocate") as refused:
        train(MODEL, ARRAYS, TrainConfig(batch=10), run=tmp_path / "run", engine=NUMPY)
    assert "model.d_model" in refused.value.remedy
