"""A run: its files, exact resume, selection, signals, refusals."""

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
from s5ref import NUMPY, SEQUENTIAL, Kernels, Pair, S5Error
from s5ref.data.batches import Dataset
from s5ref.train import checkpoint, metrics, runs
from s5ref.train.config import RunConfig
from s5ref.train.evaluate import evaluate
from s5ref.train.loop import fit
from s5ref.train.results import NonFinite, Progress
from s5ref.train.selection import Best, better, learned

Same = Callable[[Path, Path], None]


def test_a_run_folder(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = fit(config, digits, tmp_path / "run", kernels=NUMPY, report=seen.append)
    run = tmp_path / "run"
    assert sorted(p.name for p in run.iterdir() if p.name != "curves.svg") == [
        "best", "config.toml", "environment.json", "last", "metrics.jsonl",
    ]  # fmt: skip
    assert RunConfig.from_toml(run / "config.toml") == config
    environment = json.loads((run / "environment.json").read_text())
    assert environment["engine"] == "numpy"
    assert environment["seed"] == 0
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
    assert {p.phase for p in seen} == {"train", "validation", "test"}


def test_the_best_checkpoint_is_what_is_tested_and_loaded(
    config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    result = fit(config, digits, tmp_path, kernels=NUMPY)
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


@pytest.mark.parametrize("engine", ["SEQUENTIAL", "NUMPY", "NUMBA"])
def test_resume_is_exact(engine: str, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same) -> None:
    """N updates = N/2, stop, N/2: weights, moments, statistics, dropout, order and selection, bit for bit."""
    kernels: Kernels = getattr(s5ref, engine)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    a = fit(config, digits, whole, kernels=kernels, seed=3)
    fit(config, digits, parts, kernels=kernels, seed=3, stop_after=7)
    b = fit(config, digits, parts, kernels=kernels, resume=True)
    same(whole, parts)
    untimed = {"seconds": 0.0, "run": ""}
    assert replace(a, **untimed) == replace(b, **untimed)  # type: ignore[arg-type]


def test_resume_is_exact_in_many_parts(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    """One update at a time, across the ends of epochs; float64."""
    config = config.override(["train.dtype=float64", "train.epochs=2"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, kernels=NUMPY)
    for n in range(1, 11):
        fit(config, digits, parts, kernels=NUMPY, resume=n > 1, stop_after=n)
    same(whole, parts)
    arrays, _ = checkpoint.load(runs.checkpoint_path(parts, "last"))
    assert {x.dtype for x in arrays.values()} == {np.dtype("float64")}


def test_float32_stays_float32(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, kernels=NUMPY, stop_after=2)
    arrays, _ = checkpoint.load(runs.checkpoint_path(tmp_path, "last"))
    assert {x.dtype for x in arrays.values()} == {np.dtype("float32")}


def test_stopped_before_an_epoch_ended(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    result = fit(config, digits, tmp_path, kernels=NUMPY, stop_after=3)
    assert (result.steps, result.epochs, result.selected) == (3, 0, "last")
    assert result.test_accuracy is not None
    assert result.best_val_accuracy is not None
    assert not (tmp_path / "best").exists()
    with pytest.raises(S5Error, match="best"):
        runs.load(tmp_path)
    assert runs.load(tmp_path, "last").step == 3


def test_stopped_at_an_epochs_end_it_is_evaluated(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    result = fit(config, digits, tmp_path, kernels=NUMPY, stop_after=5)
    assert (result.steps, result.epochs, result.selected) == (5, 1, "best")


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
    fit(config, digits, whole, kernels=NUMPY)
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
        fit(config, digits, parts, kernels=NUMPY, stop_after=9)
        monkeypatch.setattr(loop, "evaluate", dying_evaluate)
    try:
        fit(config, digits, parts, kernels=NUMPY, resume=moment == "evaluate")
        assert moment == "best"  # the second epoch was no better, so there was no moment to die in
    except MemoryError:
        monkeypatch.undo()
        fit(config, digits, parts, kernels=NUMPY, resume=True)
    same(whole, parts)


def test_resume_before_the_first_checkpoint(
    config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, kernels=NUMPY, seed=2)
    runs.begin(parts, config, 2, "numpy", json.loads((whole / "environment.json").read_text())["data"])
    fit(config, digits, parts, kernels=NUMPY, resume=True)
    same(whole, parts)


def test_torn_metrics_are_cut(config: RunConfig, digits: Dataset, tmp_path: Path, same: Same) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, kernels=NUMPY)
    fit(config, digits, parts, kernels=NUMPY, stop_after=7)
    with open(parts / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "epoch": 2, "loss": 9.9, "lr": 0.1, "ssm_lr": 0.1}\n{"step": 9, "epo')
    fit(config, digits, parts, kernels=NUMPY, resume=True)
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
    fit(config.override(["train.checkpoint_seconds=0"]), digits, tmp_path, kernels=NUMPY, stop_after=4)
    assert steps == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_update_and_saves(
    number: signal.Signals, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, kernels=NUMPY)
    before = signal.getsignal(number)

    def press(progress: Progress) -> None:
        if progress.step == 6:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGINT)  # an impatient second one

    result = fit(config, digits, parts, kernels=NUMPY, report=press)
    assert (result.interrupted, result.steps, result.test_accuracy) == (number, 6, None)
    assert signal.getsignal(number) is before
    assert fit(config, digits, parts, kernels=NUMPY, resume=True).interrupted is None
    same(whole, parts)


@pytest.mark.parametrize("phase", ["validation", "test"])
def test_a_signal_during_an_evaluation(
    phase: str, config: RunConfig, digits: Dataset, tmp_path: Path, same: Same
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(config, digits, whole, kernels=NUMPY)

    def press(progress: Progress) -> None:
        if progress.phase == phase and progress.done < 1:
            os.kill(os.getpid(), signal.SIGTERM)

    result = fit(config, digits, parts, kernels=NUMPY, report=press)
    assert result.interrupted == signal.SIGTERM
    assert result.test_accuracy is None
    assert fit(config, digits, parts, kernels=NUMPY, resume=True).test_accuracy is not None
    same(whole, parts)


def test_training_in_another_thread(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    thread = threading.Thread(
        target=fit, args=(config, digits, tmp_path), kwargs={"kernels": NUMPY, "stop_after": 1}
    )
    thread.start()
    thread.join()
    assert runs.load(tmp_path, "last").step == 1


def _poisoned(leaf: str, at: int) -> Kernels:
    """An engine whose gradient of the classifier's kernel or bias turns NaN in call number ``at``."""
    calls = [0]

    def vjp(saved: object, dy: object) -> object:
        dx, dw, db = SEQUENTIAL.linear.vjp(saved, dy)
        calls[0] += dw.shape == (6, 10)
        if calls[0] == at and dw.shape == (6, 10):
            dw, db = (dw * np.nan, db) if leaf == "kernel" else (dw, db * np.nan)
        return dx, dw, db

    return replace(NUMPY, linear=Pair(NUMPY.linear.value, vjp))


@pytest.mark.parametrize("leaf", ["kernel", "bias"])
def test_a_gradient_that_is_not_finite(leaf: str, config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, kernels=NUMPY, stop_after=3)
    before = runs.checkpoint_path(tmp_path, "last").read_bytes()
    with pytest.raises(NonFinite, match=f"Step 5: the gradient .*decoder.{leaf}.*group regular") as caught:
        fit(config, digits, tmp_path, kernels=_poisoned(leaf, 2), resume=True)
    assert (caught.value.step, caught.value.leaf) == (5, f"decoder.{leaf}")
    assert runs.checkpoint_path(tmp_path, "last").read_bytes() == before
    fit(config, digits, tmp_path, kernels=NUMPY, resume=True)
    assert [line["step"] for line in metrics.read(tmp_path) if "step" in line] == list(range(1, 16))


def test_a_loss_that_is_not_finite(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    config = config.override(["optim.lr=1e30", "optim.ssm_lr=1e30"])
    with pytest.raises(NonFinite, match=r"Step \d.*layers_0.seq.*group ssm") as caught:
        fit(config, digits, tmp_path, kernels=NUMPY)
    assert caught.value.step >= 2
    assert caught.value.layer == "layers_0"


@pytest.mark.parametrize("layer", ["layers_0", "layers_1"])
def test_a_forward_pass_that_is_not_finite_names_the_layer(
    layer: str, config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    calls = [-1]

    def value(*args: object) -> object:
        calls[0] += 1
        here = layer == f"layers_{calls[0] % 2}"
        out, saved = NUMPY.block.value(*args)
        return (out._replace(y=out.y * np.inf) if here else out), saved

    kernels = replace(NUMPY, block=Pair(value, NUMPY.block.vjp))
    with pytest.raises(NonFinite, match="Step 1: ") as caught:
        fit(config, digits, tmp_path, kernels=kernels)
    assert caught.value.layer == layer


def test_bad_data_is_not_called_a_divergence(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    inputs = digits.train.inputs.astype(np.float32)
    inputs[5, 3] = np.nan
    broken = replace(digits, train=replace(digits.train, inputs=inputs))
    with pytest.raises(S5Error, match="inputs") as caught:
        fit(config, broken, tmp_path, kernels=NUMPY)
    assert not isinstance(caught.value, NonFinite)


def test_refusals(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(S5Error, match=r"train\.batch=1000"):
        fit(config.override(["train.batch=1000"]), digits, tmp_path, kernels=NUMPY)
    with pytest.raises(S5Error, match="stop_after"):
        fit(config, digits, tmp_path, kernels=NUMPY, stop_after=0)
    with pytest.raises(S5Error, match="not a run folder"):
        fit(config, digits, tmp_path / "new", kernels=NUMPY, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(S5Error, match="must be a folder"):
        fit(config, digits, tmp_path / "file", kernels=NUMPY)
    run = tmp_path / "run"
    fit(config, digits, run, kernels=NUMPY, stop_after=1)
    with pytest.raises(S5Error, match="already holds a checkpoint"):
        fit(config, digits, run, kernels=NUMPY)
    with pytest.raises(S5Error, match=r"train\.epochs, .*differs|optim\.lr.*differs"):
        fit(config.override(["optim.lr=0.5", "train.epochs=9"]), digits, run, kernels=NUMPY, resume=True)
    with pytest.raises(S5Error, match="seed"):
        fit(config, digits, run, kernels=NUMPY, seed=5, resume=True)
    with pytest.raises(S5Error, match="data"):
        fit(config, replace(digits, source="partial"), run, kernels=NUMPY, resume=True)
    with pytest.raises(S5Error, match="best or last"):
        runs.load(run, "first")


def test_a_damaged_checkpoint_is_refused_by_name(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, kernels=NUMPY, stop_after=5)
    for which in runs.CHECKPOINTS:
        path = runs.checkpoint_path(tmp_path, which)
        arrays, _ = checkpoint.load(path)
        data = path.read_bytes()
        at = data.index(arrays["params.encoder.kernel"].tobytes())
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(S5Error, match=rf"{which}.state\.npz.*params\.encoder\.kernel"):
            runs.load(tmp_path, which)
    with pytest.raises(S5Error, match=r"last.state\.npz"):
        fit(config, digits, tmp_path, kernels=NUMPY, resume=True)


def test_another_engine_warns(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, kernels=NUMPY, stop_after=1)
    result = fit(config, digits, tmp_path, kernels=SEQUENTIAL, resume=True, stop_after=2)
    assert any("engine (numpy; now sequential)" in warning for warning in result.warnings)


def test_without_matplotlib_one_sentence_says_so_of_curves(
    config: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = fit(config, digits, tmp_path, kernels=NUMPY, stop_after=1)
    assert [w for w in result.warnings if "curves.svg is left out" in w and "s5ref[plot]" in w]
    assert not (tmp_path / "curves.svg").exists()


def test_curves(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fit(config, digits, tmp_path, kernels=NUMPY)
    assert (tmp_path / "curves.svg").read_text().rstrip().endswith("</svg>")


def test_selection() -> None:
    def at(accuracy: float | None, loss: float = 1.0) -> Best:
        return Best(1, 10, loss, accuracy)

    assert better(at(0.5), None)
    assert better(at(0.51), at(0.5))
    assert not better(at(0.5, 0.1), at(0.5, 0.9))  # strictly, whatever the loss
    assert not better(at(0.9, float("nan")), None)
    assert better(at(None, 0.1), at(None, 0.2))
    assert not better(at(None, 0.2), at(None, 0.2))


def test_learned(digits: Dataset) -> None:
    p, n = digits.validation.majority_share(), len(digits.validation)
    bar = p + 3 * (p * (1 - p) / n) ** 0.5
    assert learned(Best(1, 1, 1.0, bar + 1e-9), digits.validation)
    assert not learned(Best(1, 1, 1.0, bar), digits.validation)
