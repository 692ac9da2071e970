"""A run continued: stopped, killed, interrupted by a signal, torn."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import s5ref
from s5ref import NUMPY, Engine
from s5ref.data.batches import Dataset
from s5ref.train import checkpoint, runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.results import Progress

Same = Callable[[Path, Path], None]


@pytest.mark.parametrize("name", ["SEQUENTIAL", "NUMPY", "NUMBA"])
def test_resume_is_exact(name: str, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same) -> None:
    """N updates = N/2, stop, N/2: weights, moments, statistics, dropout, order and selection, bit for bit."""
    engine: Engine = getattr(s5ref, name)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    a = fit(config, digits, whole, engine=engine, seed=3)
    fit(config, digits, parts, engine=engine, seed=3, stop_after=7)
    b = fit(config, digits, parts, engine=engine, resume=True)
    same(whole, parts)
    untimed = {"seconds": 0.0, "run": ""}
    assert replace(a, **untimed) == replace(b, **untimed)  # type: ignore[arg-type]


def test_resume_is_exact_in_many_parts(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    """One update at a time, across the ends of epochs; float64."""
    config = config.override(["train.dtype=float64", "train.epochs=2"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY)
    for n in range(1, 11):
        fit(config, digits, parts, engine=NUMPY, resume=n > 1, stop_after=n)
    same(whole, parts)
    arrays, _ = checkpoint.load(runs.checkpoint_path(parts, "last"))
    assert {x.dtype for x in arrays.values()} == {np.dtype("float64")}


@pytest.mark.parametrize("moment", ["save", "evaluate", "best", "second save"])
def test_a_crash_around_an_epochs_end(
    moment: str,
    config: RunConfig,
    digits: Dataset,
    tmp_path: Path,
    same: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Die between the two writes of an epoch's end; resuming gives the unbroken run's files."""
    from s5ref.train import loop
    from s5ref.train.state import State

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY)
    save, save_model = State.save, State.save_model

    def dying_save(self: State, path: Path) -> None:
        ends = self.weights.updates == 10
        if ends and moment == ("save" if self.epochs == 1 else "second save"):
            raise MemoryError
        save(self, path)

    def dying_save_model(self: State, path: Path) -> None:
        save_model(self, path)
        if moment == "best" and self.weights.updates == 10:
            raise MemoryError

    def dying_evaluate(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(State, "save", dying_save)
    monkeypatch.setattr(State, "save_model", dying_save_model)
    if moment == "evaluate":
        fit(config, digits, parts, engine=NUMPY, stop_after=9)
        monkeypatch.setattr(loop, "evaluate", dying_evaluate)
    try:
        fit(config, digits, parts, engine=NUMPY, resume=moment == "evaluate")
        assert moment == "best"  # the second epoch was no better, so there was no moment to die in
    except MemoryError:
        monkeypatch.undo()
        fit(config, digits, parts, engine=NUMPY, resume=True)
    same(whole, parts)


def test_resume_before_the_first_checkpoint(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY, seed=2)
    runs.start(parts, config, 2, NUMPY, json.loads((whole / "environment.json").read_text())["data"])
    fit(config, digits, parts, engine=NUMPY, resume=True)
    same(whole, parts)


def test_torn_metrics_are_cut(config: RunConfig, digits: Dataset, tmp_path: Path, same: Same) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY)
    fit(config, digits, parts, engine=NUMPY, stop_after=7)
    with open(parts / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "epoch": 2, "loss": 9.9, "lr": 0.1, "ssm_lr": 0.1}\n{"step": 9, "epo')
    fit(config, digits, parts, engine=NUMPY, resume=True)
    same(whole, parts)


def test_checkpoints_by_the_clock(
    config: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s5ref.train.state import State

    steps: list[int] = []
    save = State.save

    def noting(self: State, path: Path) -> None:
        steps.append(self.weights.updates)
        save(self, path)

    monkeypatch.setattr(State, "save", noting)
    fit(config.override(["train.checkpoint_seconds=0"]), digits, tmp_path, engine=NUMPY, stop_after=4)
    assert steps == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_update_and_saves(
    number: signal.Signals, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY)
    before = signal.getsignal(number)

    def press(progress: Progress) -> None:
        if progress.step == 6:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGINT)  # an impatient second one

    result = fit(config, digits, parts, engine=NUMPY, report=press)
    assert (result.interrupted, result.steps, result.test_accuracy) == (number, 6, None)
    assert signal.getsignal(number) is before
    assert fit(config, digits, parts, engine=NUMPY, resume=True).interrupted is None
    same(whole, parts)


@pytest.mark.parametrize("phase", ["validation", "test"])
def test_a_signal_during_an_evaluation(
    phase: str, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, engine=NUMPY)

    def press(progress: Progress) -> None:
        if progress.phase == phase and progress.done < 1:
            os.kill(os.getpid(), signal.SIGTERM)

    result = fit(config, digits, parts, engine=NUMPY, report=press)
    assert result.interrupted == signal.SIGTERM
    assert result.test_accuracy is None
    assert fit(config, digits, parts, engine=NUMPY, resume=True).test_accuracy is not None
    same(whole, parts)


def test_training_in_another_thread(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    thread = threading.Thread(
        target=fit, args=(config, digits, tmp_path), kwargs={"engine": NUMPY, "stop_after": 1}
    )
    thread.start()
    thread.join()
    assert runs.load(tmp_path, "last").step == 1
