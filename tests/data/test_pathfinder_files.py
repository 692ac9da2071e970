"""Pathfinder made into a folder: what is read of it, and that it is whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import s5ref
from s5ref.data.pathfinder_generator import draw
from s5ref.errors import ConfigError, DataError

SIZES = (150, 7, 5)


def test_what_is_made_is_read(tmp_path: Path) -> None:
    said: list[str] = []
    folder = s5ref.data.make("pathfinder", tmp_path, seed=3, sizes=SIZES, workers=2, report=said.append)
    assert folder == tmp_path / "pathfinder32"
    assert said[-1] == "pathfinder: 162 of 162 images"
    dataset = s5ref.data.load("pathfinder", tmp_path)
    assert "regenerated, seed 3" in dataset.source
    assert tuple(map(len, dataset.splits().values())) == SIZES
    drawn = draw(3, 32, 0, sum(SIZES))
    ends = np.cumsum((0, *SIZES))
    for split, start, stop in zip(dataset.splits().values(), ends, ends[1:], strict=False):
        batch = split.batch(np.arange(stop - start), "float64")
        assert batch.targets is not None
        np.testing.assert_array_equal(batch.targets, drawn.labels[start:stop])
        np.testing.assert_allclose(batch.inputs[..., 0], (drawn.images[start:stop] / 255 - 0.5) / 0.5)


def test_path_x(tmp_path: Path) -> None:
    s5ref.data.make("pathx", tmp_path, sizes=(2, 1, 1))
    dataset = s5ref.data.load("pathx", tmp_path)
    np.testing.assert_array_equal(dataset.train.inputs[:], draw(0, 128, 0, 2).images)


def test_the_same_is_kept_and_other_data_are_refused(tmp_path: Path) -> None:
    folder = s5ref.data.make("pathfinder", tmp_path, sizes=(3, 1, 1))
    when = (folder / "images.npy").stat().st_mtime_ns
    s5ref.data.make("pathfinder", tmp_path, sizes=(3, 1, 1))
    assert (folder / "images.npy").stat().st_mtime_ns == when
    with pytest.raises(DataError, match="already holds"):
        s5ref.data.make("pathfinder", tmp_path, sizes=(3, 1, 1), seed=1)
    with (folder / "images.npy").open("r+b") as stream:
        stream.seek(500)
        stream.write(b"\x07\x08\x09")
    with pytest.raises(DataError, match=r"images\.npy: SHA-256"):
        s5ref.data.make("pathfinder", tmp_path, sizes=(3, 1, 1))
    (tmp_path / "pathx").mkdir()
    (tmp_path / "pathx" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        s5ref.data.make("pathx", tmp_path, sizes=(1, 1, 1))
    assert (tmp_path / "pathx" / "mine.txt").exists()


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        s5ref.data.make("pathfinder", tmp_path, sizes=(3, 1, 1), report=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1 example"):
        s5ref.data.make("pathfinder", tmp_path, sizes=(3, 0, 1))
