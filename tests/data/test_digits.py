"""The embedded digits."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import s5ref.data
from s5ref.data import digits
from s5ref.errors import S5Error


def test_images_and_labels() -> None:
    images, labels = digits.read()
    assert images.shape == (1797, 8, 8)
    assert images.dtype == labels.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's table
    assert labels[:10].tolist() == list(range(10))
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_split_is_fixed_and_a_partition() -> None:
    dataset = s5ref.data.load("digits")
    assert dataset.test is not None
    assert [len(split) for split in dataset.splits().values()] == [1257, 180, 360]
    assert dataset.source == "embedded"
    rows = np.concatenate([split.inputs for split in dataset.splits().values()])
    images, _ = digits.read()
    assert sorted(map(bytes, rows)) == sorted(map(bytes, images.reshape(-1, 64)))
    assert dataset.test.targets[:12].tolist() == TEST_TARGETS


TEST_TARGETS = [6, 0, 8, 1, 7, 9, 5, 2, 4, 5, 1, 5]


def test_sequences_are_pixels_row_by_row_over_16() -> None:
    dataset = s5ref.data.load("digits")
    batch = dataset.train.batch([5], "float64")
    assert batch.inputs.shape == (1, 64, 1)
    np.testing.assert_array_equal(batch.inputs[0, :, 0] * 16, dataset.train.inputs[5])
    assert batch.inputs.max() <= 1


def test_check_reports_the_embedded_file() -> None:
    report = s5ref.data.check("digits")
    assert report.ok
    assert report.counts == {"train": 1257, "validation": 180, "test": 360}
    assert report.files[0].sha256 == hashlib.sha256(digits.FILE.read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["truncated", "another pixel", "missing"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "digits.npz"
    if damage == "truncated":
        path.write_bytes(digits.FILE.read_bytes()[:1000])
    elif damage == "another pixel":
        images, labels = digits.read()
        np.savez(path, images=np.where(images == 16, 15, images).astype(np.uint8), labels=labels)
    with pytest.raises(S5Error, match=r"digits\.npz"):
        digits.read(path)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    images, labels = digits.read()
    np.savez(path, images=images, labels=labels)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "b.npz", "w") as other:
        other.writestr("images.npy", whole.read("images.npy"))
        other.writestr("labels.npy", labels.tobytes())
    with pytest.raises(S5Error, match=r"b\.npz: the embedded digits: labels\.npy is not readable as npy"):
        digits.read(tmp_path / "b.npz")


def test_there_is_nothing_to_make() -> None:
    with pytest.raises(S5Error, match="nothing to make"):
        s5ref.data.make("digits")
