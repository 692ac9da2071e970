"""MNIST: the idx format and its errors on small files, the official files where they are."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s5ref.data
from s5ref.arrays import Array
from s5ref.data import images
from s5ref.errors import S5Error
from s5ref.files import sha256

COUNTS = {"train": 60, "t10k": 20}
NAMES = [official.name for official in images.MNIST]


def idx(array: Array) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def content(name: str) -> bytes:
    rng = np.random.default_rng(len(name))
    count = COUNTS[name.split("-")[0]]
    return idx(rng.integers(0, 256, (count, 28, 28)) if "images" in name else rng.integers(0, 10, count))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four small files that take the place of the official ones."""
    small = []
    for official in images.MNIST:
        data = content(official.name)
        path = tmp_path / "mnist" / f"{official.name}.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(data))
        small.append(
            replace(
                official,
                count=COUNTS[official.name.split("-")[0]],
                gz=sha256(path),
                content=hashlib.sha256(data).hexdigest(),
            )
        )
    monkeypatch.setattr(images, "MNIST", tuple(small))
    return path.parent


def test_load(folder: Path) -> None:
    dataset = s5ref.data.load("smnist", folder.parent)
    assert dataset.test is not None
    assert [len(split) for split in dataset.splits().values()] == [54, 6, 20]
    assert dataset.source == "official"
    raw = np.frombuffer(content(NAMES[0]), np.uint8, offset=16).reshape(60, 784)
    together = np.concatenate([dataset.train.inputs, dataset.validation.inputs])
    assert sorted(map(bytes, together)) == sorted(map(bytes, raw))
    batch = dataset.test.batch([3])
    assert batch.inputs.shape == (1, 784, 1)
    test_raw = np.frombuffer(content(NAMES[2]), np.uint8, offset=16).reshape(20, 784)
    np.testing.assert_array_equal(batch.inputs[0, :, 0], test_raw[3] / np.float32(255))


def test_psmnist_is_smnist_with_permuted_steps(folder: Path) -> None:
    plain, permuted = (s5ref.data.load(name, folder) for name in ("smnist", "psmnist"))
    pixels = images.bit_reversal(784)
    for a, b in zip(plain.splits().values(), permuted.splits().values(), strict=True):
        np.testing.assert_array_equal(a.inputs[:, pixels], b.inputs)
        np.testing.assert_array_equal(a.targets, b.targets)


def test_plain_and_recompressed_files_are_the_official_ones(folder: Path) -> None:
    for i, name in enumerate(NAMES):
        path = folder / f"{name}.gz"
        data = gzip.decompress(path.read_bytes())
        path.unlink()
        if i == 0:
            (folder / name).write_bytes(data)
        elif i == 1:
            (folder / f"{name}.xz").write_bytes(lzma.compress(data))
        else:
            path.write_bytes(gzip.compress(data, 1))
    assert s5ref.data.check("smnist", folder).ok


def test_names_with_a_dot(folder: Path) -> None:
    for name in NAMES:
        (folder / f"{name}.gz").rename(folder / f"{name.replace('-idx', '.idx')}.gz")
    assert s5ref.data.check("psmnist", folder).ok


def damaged(name: str, how: str) -> bytes:
    data = bytearray(content(name))
    if how == "magic":
        data[2] = 9
    elif how == "cut":
        del data[-5:]
    elif how == "header":
        del data[6:]
    elif how == "empty":
        data.clear()
    elif how == "trailing":
        data += b"\0"
    elif how == "changed":
        data[40] ^= 1
    elif how == "label":
        data[20] = 10
    return bytes(data)


FAULTS = [
    (0, "magic", "the idx magic must be 00 00 08 03; got 00 00 09 03"),
    (0, "cut", "must hold 47056 bytes; got 47051"),
    (1, "header", "must hold 8 bytes; got 6"),
    (3, "empty", "got nothing"),
    (2, "trailing", "must end after 15696 bytes; got 1 trailing bytes"),
    (1, "label", r"labels must be in 0\.\.9; got 10 at example 12"),
    (0, "changed", "SHA-256 of the content of train-images-idx3-ubyte must be"),
    (1, "changed", "SHA-256 of the content of train-labels-idx1-ubyte must be|labels must be in"),
]


@pytest.mark.parametrize(("file", "how", "message"), FAULTS)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_files_are_refused_by_name(
    folder: Path, file: int, how: str, message: str, suffix: str
) -> None:
    name = NAMES[file]
    (folder / f"{name}.gz").unlink()
    data = damaged(name, how)
    (folder / f"{name}{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    with pytest.raises(S5Error, match=message) as caught:
        s5ref.data.load("smnist", folder)
    assert str(folder / f"{name}{suffix}") in caught.value.message
    report = s5ref.data.check("smnist", folder)
    assert not report.ok
    assert report.problem == caught.value.message
    assert len(report.files) == 4


@pytest.mark.parametrize("how", ["truncated", "not gzip", "checksum", "trailing"])
def test_a_damaged_gzip_is_refused_by_name(folder: Path, how: str) -> None:
    path = folder / f"{NAMES[0]}.gz"
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[-100:]
    elif how == "not gzip":
        data[:] = b"<html>not found</html>"
    elif how == "checksum":
        data[-6] ^= 1
    else:
        data += b"garbage"
    path.write_bytes(bytes(data))
    with pytest.raises(S5Error, match=r"train-images-idx3-ubyte\.gz: must be a whole \.gz file"):
        s5ref.data.load("smnist", folder)


def test_mislabelled_files(folder: Path) -> None:
    train, test = (folder / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k"))
    test.write_bytes(train.read_bytes())
    with pytest.raises(S5Error, match="t10k-images-idx3-ubyte must hold 20 examples; got 60") as caught:
        s5ref.data.load("smnist", folder)
    assert "the other set's file" in caught.value.remedy
    labels = folder / f"{NAMES[1]}.gz"
    labels.write_bytes(train.read_bytes())
    with pytest.raises(S5Error, match="got 00 00 08 03 \\(an images file\\)"):
        s5ref.data.load("smnist", folder)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.data())
def test_idx_round_trip_and_no_other_length(shape: list[int], data: st.DataObject) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape)
    whole = idx(array)
    np.testing.assert_array_equal(images.parse_idx(Path("f"), whole, len(shape)), array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + b"x"):
        with pytest.raises(S5Error, match="f: "):
            images.parse_idx(Path("f"), wrong, len(shape))


@pytest.mark.parametrize("n", [1, 2, 8, 12, 784, 1024])
def test_bit_reversal_against_the_halving_construction(n: int) -> None:
    """Stacking the lower half beside the upper half, log₂ times, is the other usual definition."""
    size = 1 << max(n - 1, 0).bit_length()
    table = np.arange(size)[:, None]
    while len(table) > 1:
        half = len(table) // 2
        table = np.hstack([table[:half], table[half:]])
    want = table.ravel()
    got = images.bit_reversal(n)
    np.testing.assert_array_equal(got, want[want < n])
    assert sorted(got) == list(range(n))


def test_bit_reversal_of_784_starts_as_documented() -> None:
    assert images.bit_reversal(784)[:6].tolist() == [0, 512, 256, 768, 128, 640]


def test_official_files(real_data: Path) -> None:
    if not (real_data / "mnist").is_dir():
        pytest.skip("S5REF_DATA has no mnist folder")
    dataset = s5ref.data.load("smnist", real_data)
    assert dataset.test is not None
    assert [len(split) for split in dataset.splits().values()] == [54000, 6000, 10000]
    assert dataset.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(np.concatenate([dataset.train.targets, dataset.validation.targets]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    for path, official in zip(s5ref.data.check("smnist", real_data).files, images.MNIST, strict=True):
        if path.path.suffix == ".gz":
            assert path.sha256 == official.gz
