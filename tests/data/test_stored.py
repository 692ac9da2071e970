"""Arrays in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.data.stored import Arrays, read_arrays, writing_arrays
from s5ref.errors import DataError

ROWS = np.arange(60, dtype=np.int16).reshape(10, 2, 3)


def write(folder: Path) -> Path:
    with writing_arrays(folder, {"seed": 3}) as arrays:
        arrays["labels"] = np.arange(10, dtype=np.uint8)
        with arrays.rows("rows", (2, 3), np.int16) as add:
            for block in (ROWS[:4], ROWS[4:4], ROWS[4:]):
                add(block)
        with arrays.rows("none", (5,), np.float32):
            pass
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    arrays, facts = read_arrays(write(tmp_path / "a"), "")
    assert facts == {"seed": 3}
    np.testing.assert_array_equal(arrays["rows"], ROWS)
    assert arrays["rows"].dtype == np.int16
    assert arrays["labels"].tolist() == list(range(10))
    assert arrays["none"].shape == (0, 5)
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "rows.npy"), ROWS)  # an ordinary npy file


def test_the_arrays_are_maps_whose_changes_stay_in_memory(tmp_path: Path) -> None:
    arrays, _ = read_arrays(write(tmp_path / "a"), "")
    assert isinstance(arrays["rows"], np.memmap)
    arrays["rows"][:] = 0
    np.testing.assert_array_equal(read_arrays(tmp_path / "a", "")[0]["rows"], ROWS)


def test_in_memory() -> None:
    arrays = Arrays()
    with arrays.rows("rows", (2, 3), np.int16) as add:
        add(ROWS[:4].astype(np.int64))
        add(ROWS[4:])
    np.testing.assert_array_equal(arrays["rows"], ROWS)
    arrays["rows"][0] = 1  # writable, as all that is loaded


def failing(folder: Path) -> None:
    with writing_arrays(folder, {}) as arrays:
        arrays["x"] = ROWS
        with arrays.rows("bad", (3,), np.int16) as add:
            add(ROWS)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="bad: rows of"):
        failing(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def harmless(path: Path, manifest: Any) -> bool:
    """A blank between two words became another one."""
    try:
        return bool(json.loads(path.read_bytes()) == manifest)
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["rows.npy", "labels.npy", "manifest.json"])
def test_every_bit_counts(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a") / name
    data = path.read_bytes()
    manifest = json.loads(data) if name == "manifest.json" else None
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        if manifest is not None and harmless(path, manifest):
            continue
        with pytest.raises(DataError) as caught:
            read_arrays(tmp_path / "a", "Make it again.")
        assert caught.value.remedy == "Make it again."
    path.unlink()
    with pytest.raises(DataError, match=name):
        read_arrays(tmp_path / "a", "")
