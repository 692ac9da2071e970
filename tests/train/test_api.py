"""Training on one's own arrays from Python: what a loop of runs and a wrong argument get."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, ConfigError, DataError, Model, ModelConfig
from s5ref.data.batches import Dataset, Split
from s5ref.train import metrics, runs
from s5ref.train.api import train
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.loaded import Loaded
from s5ref.train.loop import fit
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


def _same(ours: Loaded, theirs: Loaded) -> None:
    for a, b in ((ours.params, theirs.params), (ours.statistics, theirs.statistics)):
        assert a.keys() == b.keys()
        assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    assert (ours.config, ours.step, ours.checkpoint) == (theirs.config, theirs.step, theirs.checkpoint)


def _untimed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: x for key, x in record.items() if key != "seconds"} for record in history]


def test_without_a_folder_nothing_is_written_and_the_run_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = TrainConfig(batch=10, epochs=3)
    free = train(MODEL, ARRAYS, short, engine=NUMPY)
    assert list(tmp_path.iterdir()) == []
    kept = train(MODEL, ARRAYS, short, run="run", engine=NUMPY)
    assert free.run == ""
    assert free.best is not None
    for result in (free, kept):
        _same(result.loaded, runs.load("run"))
        _same(result.last, runs.load("run", "last"))
    assert _untimed(free.history) == _untimed(kept.history)
    lines = metrics.read(Path("run"))
    assert kept.history == [line for line in lines if "step" not in line]
    assert np.mean(free.predict(X) == np.arange(40) % 2) == free.best_val_accuracy
    np.testing.assert_array_equal(free.outputs(X), runs.load("run").outputs(X))
    with pytest.raises(ConfigError, match="Resuming needs the run folder"):
        train(MODEL, ARRAYS, short, engine=NUMPY, resume=True)


def test_a_run_is_resumed_with_its_own_configuration(tmp_path: Path) -> None:
    config, whole = TrainConfig(batch=7, epochs=3), tmp_path / "whole"
    train(MODEL, ARRAYS, config, run=whole, engine=NUMPY, seed=3)

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.phase == "epoch":
            raise Stop

    with pytest.raises(Stop):
        train(MODEL, ARRAYS, config, run=tmp_path / "run", engine=NUMPY, seed=3, callbacks=[stop])
    result = train(MODEL, ARRAYS, run=tmp_path / "run", resume=True, engine=NUMPY)
    assert (result.seed, result.epochs, len(result.history)) == (3, 3, 3)
    for which in ("last", "best"):
        _same(runs.load(tmp_path / "run", which), runs.load(whole, which))
    with pytest.raises(ConfigError, match=r"keeps its configuration; train\.epochs"):
        train(MODEL, ARRAYS, TrainConfig(batch=7, epochs=4), run=whole, resume=True, engine=NUMPY)
    with pytest.raises(DataError, match="is not a run folder"):
        train(MODEL, ARRAYS, run=tmp_path / "none", resume=True)


def test_a_recipes_run_is_resumed(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=7)
    result = train(Model(config.model), digits, run=tmp_path, resume=True, engine=NUMPY)
    assert (result.recipe, result.steps, result.epochs) == ("digits", 15, 3)
    assert result.test_accuracy is not None


def test_callbacks_are_told_of_updates_and_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []
    config = TrainConfig(batch=10, epochs=2)
    result = train(MODEL, ARRAYS, config, engine=NUMPY, callbacks=[seen.append, lambda _: None])
    assert capsys.readouterr() == ("", "")  # no terminal here
    assert [p.step for p in seen if p.phase == "train"] == list(range(1, 9))
    assert all(p.rates for p in seen if p.phase == "train")
    assert [p.record for p in seen if p.phase == "epoch"] == result.history
    assert np.isnan(seen[0].eta)
    assert seen[1].eta > 0
    train(MODEL, ARRAYS, config, engine=NUMPY, verbose=True)
    assert capsys.readouterr().err.startswith("trained 2 epochs, 8 updates, in 0:0")


@pytest.mark.parametrize(
    ("n", "batch", "epochs"), [(5, 5, 600), (75, 16, 128), (1000, 25, 20), (9000, 50, 20)]
)
def test_batch_and_epochs_fit_themselves(n: int, batch: int, epochs: int) -> None:
    fitted = RunConfig("arrays", MODEL.config).fitted(n).train
    assert (fitted.batch, fitted.epochs) == (batch, epochs)
    given = RunConfig("arrays", MODEL.config, train=TrainConfig(batch=3, epochs=4)).fitted(n).train
    assert (given.batch, given.epochs) == (3, 4)


def test_few_series_are_trained_on_and_all_of_them_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    batch = Split.batch

    def watched(self: Split, rows: Any, dtype: Any) -> Any:
        asked.append([int(row) for row in rows])
        return batch(self, rows, dtype)

    train(MODEL, {"train": (X[:5], [0, 1, 1, 0, 1]), "validation": (X, np.arange(40) % 2)},
          TrainConfig(epochs=1), engine=NUMPY)  # fmt: skip
    monkeypatch.setattr(Split, "batch", watched)
    result = train(MODEL, ARRAYS, TrainConfig(batch=16, epochs=1), engine=NUMPY)
    assert result.steps == 3
    rows = [row for update in asked[:3] for row in update]
    assert (len(rows), set(rows)) == (48, set(range(40)))
    assert rows[40:] == rows[:8]  # filled up


def test_an_unknown_keyword_is_refused() -> None:
    wrong: Any = {"sed": 1}
    with pytest.raises(ConfigError, match=r"unknown keyword 'sed'\. Did you mean seed"):
        train(MODEL, ARRAYS, **wrong)
