"""A crash at any moment, a full disk, a broken disk: a run has its old state or its new one, and goes on."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import Disk, restore

from s5ref import NUMPY
from s5ref.cli.main import main
from s5ref.data.batches import Dataset
from s5ref.errors import S5Error
from s5ref.train import checkpoint, runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit

OLD, NEW = ({"x": np.full(1000, float(i)), "y": np.arange(i)} for i in (1, 2))
LOST = [errno.ENOSPC, errno.EIO]


def saved(arrays: dict[str, Any]) -> bytes:
    return b"".join(arrays[name].tobytes() for name in sorted(arrays))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds the old state."""
    (tmp_path / "run").mkdir()
    checkpoint.save(tmp_path / "run" / "state.npz", OLD, {"k": 1})
    return tmp_path / "run"


def states(disk: Disk, tmp_path: Path) -> list[bytes | None]:
    """What each crash leaves of the checkpoint; None where it cannot be read."""
    found: list[bytes | None] = []
    for i, content in enumerate(disk.crashes):
        restore(content, disk.root, tmp_path / f"crash-{i}")
        try:
            found.append(saved(checkpoint.load(tmp_path / f"crash-{i}" / "state.npz")[0]))
        except S5Error:
            found.append(None)
    return found


def test_a_crash_while_a_checkpoint_is_saved_leaves_the_old_or_the_new_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        disk = Disk(folder, patch)
        checkpoint.save(folder / "state.npz", NEW, {"k": 2})
    found = states(disk, tmp_path)
    assert set(found) == {saved(OLD), saved(NEW)}
    assert found[-1] == saved(NEW)  # when save has returned, it is kept


@pytest.mark.parametrize("forgotten", ["fsync of the file", "rename"])
def test_the_disk_shows_a_writer_that_promises_too_much(
    forgotten: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = folder.joinpath("state.npz").read_bytes()
    with monkeypatch.context() as patch:
        disk = Disk(folder, patch)
        place = folder / ("state.npz" if forgotten == "rename" else "new")
        with place.open("wb") as stream:
            stream.write(whole)
        if forgotten != "rename":
            place.replace(folder / "state.npz")
    assert None in states(disk, tmp_path)


def refusal(action: Callable[[], None]) -> str | None:
    """The words of the error that it raises."""
    try:
        action()
    except (OSError, S5Error) as error:
        return str(error)
    return None


@pytest.mark.parametrize("error", LOST, ids=errno.errorcode.get)
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    error: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, number = folder / "state.npz", 0
    while True:
        with monkeypatch.context() as patch:
            disk = Disk(folder, patch)
            disk.fails, disk.error = number, error
            refused = refusal(lambda: checkpoint.save(path, NEW, {"k": 2}))
        if refused is None:
            break
        assert str(folder) in refused, disk.operations[-1]
        kept = saved(checkpoint.load(path)[0])
        assert kept == saved(OLD) or disk.operations[-1] == "fsync .", disk.operations[-1]
        assert [file.name for file in folder.iterdir()] == ["state.npz"]
        checkpoint.save(path, OLD, {"k": 1})  # there is space again
        number += 1
    assert number == len(disk.operations) >= 4


def trained(config: RunConfig, digits: Dataset, run: Path, resume: bool = False) -> None:
    fit(config, digits, run, engine=NUMPY, seed=1, resume=resume)


def count(run: Path) -> int:
    """The updates of the last checkpoint of a run; 0: there is none yet."""
    try:
        return int(checkpoint.load(runs.checkpoint_path(run, "last"))[1]["step"])
    except S5Error:
        assert not runs.checkpoint_path(run, "last").exists()
        return 0


@pytest.fixture
def frequent(config: RunConfig) -> RunConfig:
    return config.override(["train.checkpoint_seconds=0", "train.epochs=2"])


def test_a_crash_at_any_moment_of_a_run_leaves_a_state_that_goes_on(
    frequent: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    same: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    with monkeypatch.context() as patch:
        disk = Disk(run, patch)
        trained(frequent, digits, run)
    print(f"{len(disk.operations)} operations, {len(disk.crashes)} states after a crash")
    before = 0
    for i, content in enumerate(disk.crashes):
        restore(content, run, tmp_path / "crash" / str(i))
        now = count(tmp_path / "crash" / str(i))
        assert now >= before - 1, i  # the last that was promised, or the one that was being written
        before = max(before, now)
    assert before > 3
    for i in random.Random(0).sample(range(len(disk.crashes)), 5):
        crashed = tmp_path / "crash" / str(i)
        trained(frequent, digits, crashed, resume=(crashed / "config.toml").exists())
        same(run, crashed)


@pytest.mark.parametrize("sample", [6, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("error", LOST, ids=errno.errorcode.get)
def test_a_run_whose_disk_fails_goes_on_when_it_works_again(
    error: int, sample: int, frequent: RunConfig, digits: Dataset, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, same: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    whole = tmp_path / "whole"
    whole.mkdir()
    with monkeypatch.context() as patch:
        operations = Disk(whole, patch).operations
        trained(frequent, digits, whole)
    for number in random.Random(error).sample(range(len(operations)), min(sample, len(operations))):
        run = tmp_path / f"run-{number}"
        run.mkdir()
        with monkeypatch.context() as patch:
            disk = Disk(run, patch)
            disk.fails, disk.error = number, error
            with pytest.raises((OSError, S5Error)) as refused:
                trained(frequent, digits, run)
        assert str(run) in str(refused.value), operations[number]
        trained(frequent, digits, run, resume=(run / "config.toml").exists())
        same(whole, run)


def test_the_command_says_where_there_is_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with monkeypatch.context() as patch:
        disk = Disk(run, patch)
        disk.fails, disk.error = 1, errno.ENOSPC
        code = main(["train", "digits", "--out", str(run), "--steps", "2", "--engine", "numpy"])
    refused = [line for line in capsys.readouterr().err.splitlines() if "No space" in line]
    assert code == 2
    assert len(refused) == 1
    assert str(run) in refused[0]
