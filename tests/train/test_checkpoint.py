"""Checkpoints: round trip of every kind of array, refusal of every kind of damage, atomic replacement."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from memory import peak

from s5ref import S5Error
from s5ref.arrays import Array
from s5ref.train import checkpoint

ARRAYS: dict[str, Array] = {
    "params/a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "conjugate": np.array([[1 + 2j, 3j], [4, 5 - 1j]]).conj().T,
    "strided": np.arange(24, dtype=np.complex64).reshape(4, 6)[::2, 1::2],
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "integers": np.array([-1, 2], np.int64),
    "mask": np.array([True, False]),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
}
META = {"step": 3, "loss_sum": 0.1 + 0.2, "best": None, "name": "Λ"}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "last" / "state.npz"
    checkpoint.save(path, ARRAYS, META)
    arrays, meta = checkpoint.load(path)
    assert meta == META
    assert list(arrays) == list(ARRAYS)
    for name, x in ARRAYS.items():
        assert arrays[name].dtype == x.dtype
        assert arrays[name].shape == x.shape
        assert arrays[name].tobytes() == x.tobytes()
    assert np.isfortran(arrays["fortran"])
    with np.load(path, allow_pickle=False) as archive:  # NumPy reads it too
        np.testing.assert_array_equal(archive["fortran"], ARRAYS["fortran"])


def test_equal_states_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, ARRAYS, META)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [np.array([None]), np.array(["a"]), np.zeros(2, np.longdouble)])
def test_other_dtypes_are_refused(tmp_path: Path, value: Array) -> None:
    with pytest.raises(S5Error, match="odd"):
        checkpoint.save(tmp_path / "x", {"odd": value}, {})
    assert not (tmp_path / "x").exists()


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"weights": np.arange(5.0), "other": np.array(1.0)}, {"step": 1})
    data = path.read_bytes()
    inside = data.index(np.arange(5.0).tobytes())
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :])
        with pytest.raises(S5Error, match=r"state\.npz") as caught:
            checkpoint.load(path)
        if inside <= i < inside + 40:
            assert "weights" in str(caught.value)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"weights": np.arange(5.0)}, {})
    data = path.read_bytes()
    for n in range(0, len(data), 7):
        path.write_bytes(data[:n])
        with pytest.raises(S5Error, match=r"state\.npz"):
            checkpoint.load(path)


def test_missing_and_added_members_are_found(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"a": np.ones(2), "b": np.ones(2)}, {})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for changed in (
        {k: v for k, v in members.items() if k != "b.npy"},
        members | {"c.npy": members["b.npy"]},
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in changed.items():
                archive.writestr(name, data)
        path.write_bytes(buffer.getvalue())
        with pytest.raises(S5Error, match=r"[bc]\.npy"):
            checkpoint.load(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", a=np.ones(2))
    (tmp_path / "text.npz").write_text("hello")
    for name, words in (("plain.npz", "manifest"), ("text.npz", "zip"), ("none.npz", "cannot be read")):
        with pytest.raises(S5Error, match=words) as caught:
            checkpoint.load(tmp_path / name)
        assert name in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"a": np.ones(2)}, {"step": 1})
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, {"a": np.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]


def test_a_compressed_checkpoint_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"a": np.zeros(2**23)}, {})
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))

    def refused() -> None:
        with pytest.raises(S5Error, match=r"b\.npz: the member a\.npy must not be compressed"):
            checkpoint.load(tmp_path / "b.npz")

    assert peak(refused) < 2**21
