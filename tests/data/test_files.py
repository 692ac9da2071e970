"""One's own arrays in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.data import from_arrays, load_arrays, save_arrays
from s5ref.errors import DataError

X, Y = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 3, 2), np.array([0, 1, 2, 1])
ARRAYS = {"train": (X, Y, [3, 2, 3, 1]), "validation": (X, Y, None, np.ones((4, 3))), "test": (X, Y)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    save_arrays(file, ARRAYS)
    read = load_arrays(file)
    assert {split: list(fields) for split, fields in read.items()} == {
        "train": ["inputs", "targets", "lengths"],
        "validation": ["inputs", "targets", "intervals"],
        "test": ["inputs", "targets"],
    }
    assert read["train"]["inputs"].dtype == np.float32
    ours, theirs = from_arrays(ARRAYS).splits(), from_arrays(read).splits()
    for split in ours:
        for name in ("inputs", "targets", "lengths", "intervals"):
            np.testing.assert_array_equal(getattr(ours[split], name), getattr(theirs[split], name))


def test_plain_numpy_writes_it_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    np.savez_compressed(file, train_inputs=X, train_targets=Y, validation_inputs=X, validation_targets=Y)
    assert list(load_arrays(file)) == ["train", "validation"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": X}, "train_inputs.* or some of them; got inputs too"),
        ({"train_inputs": X, "train_targets": Y}, "validation is missing"),
        (
            {"train_inputs": X, "validation_inputs": X},
            "train must hold inputs and targets; targets is missing",
        ),
    ],
)
def test_files_of_other_arrays_are_refused(arrays: Any, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=words):
        load_arrays(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [
        ("mine.npy", ARRAYS, r"must end in \.npz"),
        ("mine.npz", {"train": (X, Y)}, "validation is missing"),
        ("mine.npz", [(X, Y), (X, [None, "a", 1, 2])], "validation_targets must hold numbers; got object"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, arrays: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        save_arrays(tmp_path / name, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.npz: cannot be read"):
        load_arrays(tmp_path / "mine.npz")
