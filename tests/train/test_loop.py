"""A run: its files, what it evaluates, selection, curves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from s5ref import NUMPY, SEQUENTIAL, S5Error
from s5ref.data.batches import Dataset
from s5ref.train import checkpoint, metrics, runs
from s5ref.train.config import RunConfig
from s5ref.train.evaluate import evaluate
from s5ref.train.loop import fit
from s5ref.train.results import Progress
from s5ref.train.selection import Best, better, learned

Same = Callable[[Path, Path], None]


def test_a_run_folder(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = fit(config, digits, tmp_path / "run", engine=NUMPY, report=seen.append)
    run = tmp_path / "run"
    assert sorted(p.name for p in run.iterdir() if p.name != "curves.svg") == [
        ".lock", "best", "config.toml", "environment.json", "last", "metrics.jsonl",
        "result.json",
    ]  # fmt: skip
    assert RunConfig.from_toml(run / "config.toml") == config
    environment = json.loads((run / "environment.json").read_text())
    assert environment["engine"] == "numpy"
    assert environment["seed"] == 0
    assert environment["plan"][0].startswith("engine numpy, layers_0")
    found = json.loads((run / "result.json").read_text())
    assert (found["test_accuracy"], found["steps"]) == (result.test_accuracy, result.steps)
    assert found.keys() == result.facts().keys()
    steps = [line for line in metrics.read(run) if "step" in line]
    epochs = [line for line in metrics.read(run) if "train_loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 16))  # 163 // 30 = 5 updates an epoch
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert epochs[0]["train_loss"] == pytest.approx(np.mean([line["loss"] for line in steps[:5]]), rel=1e-12)
    assert (result.steps, result.epochs, result.interrupted) == (15, 3, None)
    assert result.best_val_accuracy == max(line["val_accuracy"] for line in epochs)
    assert result.parameters == sum(p.size for p in runs.load(run).params.values())
    assert (result.selected, result.selected_on, result.source) == ("best", "validation", "embedded")
    assert result.test_accuracy is not None
    assert [p.step for p in seen if p.phase == "train"] == list(range(1, 16))
    assert {p.phase for p in seen} == {"train", "validation", "epoch", "test"}


def test_the_best_checkpoint_is_what_is_tested_and_loaded(
    config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    result = fit(config, digits, tmp_path, engine=NUMPY)
    loaded = runs.load(tmp_path)
    assert result.best_epoch is not None
    assert loaded.step == 5 * result.best_epoch
    assert digits.test is not None
    found = evaluate(loaded.model, loaded.params, loaded.statistics, digits.test, NUMPY, 7)
    assert found.examples == 40
    assert found.accuracy == result.test_accuracy
    assert found.loss == pytest.approx(result.test_loss, rel=1e-6)  # whatever the batch size
    inputs = digits.test.batch(np.arange(40)).inputs
    labels = loaded.predict(inputs)
    assert np.mean(labels == digits.test.targets) == result.test_accuracy
    assert loaded.outputs(inputs.tolist()).shape == (40, 10)


def test_float32_stays_float32(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=2)
    arrays, _ = checkpoint.load(runs.checkpoint_path(tmp_path, "last"))
    assert {x.dtype for x in arrays.values()} == {np.dtype("float32")}


def test_stopped_before_an_epoch_ended(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    result = fit(config, digits, tmp_path, engine=NUMPY, stop_after=3)
    assert (result.steps, result.epochs, result.selected) == (3, 0, "last")
    assert result.test_accuracy is not None
    assert result.best_val_accuracy is not None
    assert not (tmp_path / "best").exists()
    with pytest.raises(S5Error, match="best"):
        runs.load(tmp_path, "best")
    assert runs.load(tmp_path, "last").step == 3
    loaded = runs.load(tmp_path)
    assert (loaded.step, loaded.checkpoint) == (3, "last")
    assert ["no epoch has ended" in warning for warning in loaded.warnings] == [True]


def test_stopped_at_an_epochs_end_it_is_evaluated(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    result = fit(config, digits, tmp_path, engine=NUMPY, stop_after=5)
    assert (result.steps, result.epochs, result.selected) == (5, 1, "best")


def test_another_engine_warns(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=1)
    result = fit(config, digits, tmp_path, engine=SEQUENTIAL, resume=True, stop_after=2)
    assert any("engine (numpy; now sequential)" in warning for warning in result.warnings)


def test_without_matplotlib_one_sentence_says_so_of_curves(
    config: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = fit(config, digits, tmp_path, engine=NUMPY, stop_after=1)
    assert [w for w in result.warnings if "curves.svg is left out" in w and "s5ref[plot]" in w]
    assert not (tmp_path / "curves.svg").exists()


def test_curves(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fit(config, digits, tmp_path, engine=NUMPY)
    assert (tmp_path / "curves.svg").read_text().rstrip().endswith("</svg>")


def test_selection() -> None:
    def at(accuracy: float | None, loss: float = 1.0) -> Best:
        return Best(1, 10, loss, accuracy)

    assert better(at(0.5), None)
    assert better(at(0.51), at(0.5))
    assert better(at(0.5, 0.1), at(0.5, 0.9))  # a tie
    assert not better(at(0.5, 0.9), at(0.5, 0.9))
    assert not better(at(0.4, 0.1), at(0.5, 0.9))
    assert not better(at(0.9, float("nan")), None)
    assert better(at(None, 0.1), at(None, 0.2))
    assert not better(at(None, 0.2), at(None, 0.2))


def test_learned(digits: Dataset) -> None:
    p, n = digits.validation.majority_share(), len(digits.validation)
    bar = p + 3 * (p * (1 - p) / n) ** 0.5
    assert learned(Best(1, 1, 1.0, bar + 1e-9), digits.validation)
    assert not learned(Best(1, 1, 1.0, bar), digits.validation)
