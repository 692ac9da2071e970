"""What is read of a run, whatever became of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.show.record import mean_and_sd, median, read
from s5ref.train import runs


def test_a_whole_run(run: Path) -> None:
    [record] = read(run)
    assert (record.loaded.checkpoint, record.facts["seed"], record.facts["step"], record.facts["epochs"]) == (
        "best", 3, 6, 2,
    )  # fmt: skip
    assert (len(record.updates), len(record.epochs), record.engine) == (6, 2, "numpy")
    assert record.best is not None
    assert record.best["accuracy"] == max(line["val_accuracy"] for line in record.epochs)
    assert record.changed()["model.n_layers"] == (2, 4)
    initial = record.initial
    assert initial is not None
    assert initial.keys() == record.loaded.params.keys()
    assert not np.array_equal(initial["layers_0.seq.B"], record.loaded.params["layers_0.seq.B"])
    assert read(run, "last")[0].loaded.step == 6


def test_the_initial_parameters_are_those_of_the_run(interrupted: Path) -> None:
    [record] = read(interrupted)
    assert record.initial is not None
    for name, leaf in record.initial.items():  # after two updates of a warm-up
        assert np.abs(leaf - record.loaded.params[name]).max() < 1e-2


def test_an_interrupted_run_shows_its_last_checkpoint(interrupted: Path) -> None:
    [record] = read(interrupted)
    assert (record.loaded.checkpoint, record.best, record.epochs, len(record.updates)) == (
        "last",
        None,
        [],
        2,
    )
    with pytest.raises(S5Error, match="no best checkpoint"):
        read(interrupted, "best")


def test_a_run_that_never_began(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "config.toml", tmp_path / "config.toml")
    with pytest.raises(S5Error, match="nothing was trained"):
        read(tmp_path)
    with pytest.raises(S5Error, match="not a run folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "fit.json").touch()
    with pytest.raises(S5Error, match="is a run of `s5ref fit`"):
        read(tmp_path)


def test_seeds_that_have_begun(seeds: Path, tmp_path: Path) -> None:
    records = read(seeds)
    assert [record.facts["seed"] for record in records] == [0, 1, 2]
    accuracies = sorted(record.best["accuracy"] for record in records if record.best)
    middle = median(records).best
    assert middle is not None
    assert middle["accuracy"] == accuracies[1]
    shutil.copytree(seeds, tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / "seed-1")
    assert [record.facts["seed"] for record in read(tmp_path / "some")] == [0, 2]
    runs.checkpoint_path(tmp_path / "some" / "seed-0", "best").unlink()
    assert [record.loaded.checkpoint for record in read(tmp_path / "some")] == ["last", "best"]


def test_mean_and_sd() -> None:
    mean, sd = mean_and_sd([1.0, None, 3.0])
    assert (mean, sd) == (2.0, 2**0.5)
    assert mean_and_sd([2.0]) == (2.0, None)
    assert mean_and_sd([None]) == (None, None)
