"""CIFAR-10: binary files, Python's batches, grey and colour."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from real_formats import (
    BATCHES,
    calling_pickle,
    cifar,
    cifar_binary,
    cifar_images,
    cifar_pickle,
    tar,
    write_tree,
)

import s5ref.data
from s5ref.arrays import Array
from s5ref.data import Dataset
from s5ref.data import cifar as reader
from s5ref.errors import DataError, S5Error

FORMS = {"bin": "cifar-10-binary.tar.gz", "py": "cifar-10-python.tar.gz"}


def all_rows(dataset: Dataset) -> list[bytes]:
    """The training images with their labels, sorted: those of training and validation."""
    return sorted(
        np.asarray(split.inputs)[i].tobytes() + bytes([label])
        for split in (dataset.train, dataset.validation)
        for i, label in enumerate(split.targets)
    )


@pytest.mark.parametrize("kind", FORMS)
def test_folder_files_and_archive_are_the_same_data(tmp_path: Path, kind: str) -> None:
    files = cifar(kind)
    write_tree(tmp_path / "a" / "cifar10", files)
    write_tree(tmp_path / "b", {name.rpartition("/")[2]: data for name, data in files.items()})
    write_tree(tmp_path / "c", {f"cifar10/{FORMS[kind]}": gzip.compress(tar(files))})
    found = [s5ref.data.load("scifar", tmp_path / where) for where in "abc"]
    assert found[0].source == "partial: 90/10/10 of 45000/5000/10000 examples"
    images, labels = (
        np.concatenate(x) for x in zip(*(cifar_images(n, 20) for n in BATCHES[:5]), strict=True)
    )
    colours = images.reshape(-1, 3, 1024).swapaxes(1, 2)
    want = sorted(image.tobytes() + bytes([label]) for image, label in zip(colours, labels, strict=True))
    for dataset in found:
        assert all_rows(dataset) == want
        assert dataset.test is not None
        np.testing.assert_array_equal(dataset.test.targets, np.arange(10))
        np.testing.assert_array_equal(np.asarray(dataset.train.inputs), np.asarray(found[0].train.inputs))


def test_upstreams_preprocessing(tmp_path: Path) -> None:
    """torchvision's: ToTensor divides by 255 in float32, Normalize subtracts and divides."""
    write_tree(tmp_path, cifar("bin"))
    (images, _), one = cifar_images("test_batch", 10), np.float32
    pixels = images.reshape(-1, 3, 1024)
    colour, grey = (s5ref.data.load(name, tmp_path).test for name in ("scifar", "image"))
    assert colour is not None
    assert grey is not None
    batch = colour.batch(np.arange(10)).inputs
    assert batch.shape == (10, 1024, 3)
    assert batch.dtype == np.float32
    for c, (mean, std) in enumerate(zip((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261), strict=True)):
        np.testing.assert_array_equal(batch[..., c], (pixels[:, c] / one(255) - one(mean)) / one(std))
    red, green, blue = pixels.swapaxes(0, 1).astype(int)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    want = (luma.astype(one) / one(255) - one(122.6 / 255)) / one(61 / 255)
    np.testing.assert_array_equal(grey.batch(np.arange(10)).inputs[..., 0], want)
    assert grey.inputs.dtype == np.uint8


def test_grey_is_pillows() -> None:
    image_module = pytest.importorskip("PIL.Image")
    images, _ = cifar_images("grey", 30)
    want = [
        np.asarray(
            image_module.fromarray(np.ascontiguousarray(x.reshape(3, 32, 32).transpose(1, 2, 0))).convert("L")
        )
        for x in images
    ]
    np.testing.assert_array_equal(reader.grey(images), np.reshape(want, (30, 1024)))


def test_the_split_is_the_same_for_both_and_a_partition(tmp_path: Path) -> None:
    write_tree(tmp_path, cifar("bin"))
    grey, colour = (s5ref.data.load(name, tmp_path) for name in ("image", "scifar"))
    np.testing.assert_array_equal(grey.validation.targets, colour.validation.targets)
    assert [len(split) for split in grey.splits().values()] == [90, 10, 10]


def test_fewer_batches_are_partial_and_none_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, cifar("bin", {"data_batch_1": 50, "test_batch": 10}))
    assert s5ref.data.load("image", tmp_path).source.startswith("partial: 45/5/10 of")
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    with pytest.raises(S5Error, match="must hold data_batch_1 … 5 and test_batch"):
        s5ref.data.load("image", tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    folder = write_tree(tmp_path, cifar("bin")) / "cifar-10-batches-bin"
    before = s5ref.data.load("image", tmp_path)
    (folder / "data_batch_3.bin").write_bytes(cifar_binary(*cifar_images("other", 20)))
    assert all_rows(s5ref.data.load("image", tmp_path)) != all_rows(before)


def test_official_files_are_known_by_their_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = cifar("py")
    write_tree(tmp_path, files)
    assert "official" not in s5ref.data.load("image", tmp_path).source
    sums = {name: hashlib.md5(files[f"cifar-10-batches-py/{name}"]).hexdigest() for name in BATCHES}
    monkeypatch.setattr(reader, "MD5", sums)
    os.utime(tmp_path / "cifar-10-batches-py" / "test_batch", (1, 1))  # another file to the cache
    assert s5ref.data.load("image", tmp_path).source.endswith(", official")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_batches_that_are_pickled_anew(protocol: int) -> None:
    images, labels = cifar_images("data_batch_1", 20)
    batch = {"data": images, "labels": labels.tolist(), "batch_label": "x", "filenames": ["a.png"]}
    data = pickle.dumps(batch, protocol)
    if protocol in (2, 5):  # refers to a function that makes bytes, or an array of them
        with pytest.raises(DataError, match=r"it refers to (_codecs\.encode|numpy.*)\. Nothing was called"):
            reader.read_pickle(data, "x")
        return
    found = reader.read_pickle(data, "x")
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    for data in (
        calling_pickle(os.mkdir, str(target)),
        calling_pickle(eval, f"__import__('os').mkdir({str(target)!r})"),
        b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR.",
        b"(V" + str(target).encode() + b"\nios\nmkdir\n.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    ):
        with pytest.raises(DataError, match="x"):
            reader.read_pickle(data, "x")
    assert not target.exists()


def whole() -> tuple[Array, Array]:
    return cifar_images("data_batch_1", 20)


def test_damaged_binary_files() -> None:
    data = cifar_binary(*whole())
    for wrong in (data[:-1], data + b"\0", b"", data[:3072]):
        with pytest.raises(DataError, match="records of 3073 bytes"):
            reader.read_binary(wrong, "x")
    with pytest.raises(DataError, match=r"labels must be in 0..9; got 10 at image 19"):
        reader.read_binary(data[:-3073] + b"\x0a" + data[-3072:], "x")
    with pytest.raises(DataError, match="1 to 10000 records"):
        reader.read_binary(bytes(3073 * 10001), "x")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x00M\x14\x00M", b"K\x00M\x15\x00M"),  # another shape: 21 rows
        (b"u1", b"i8"), (b"u1", b"O1"), (b"labels", b"labelz"), (b"data", b"dato"),
        (b"e" + b"u.", b"K\x0aeu."),  # a label more
        (b"K\x09eu.", b"K\x0aeu."),  # a label of 10
        (b"K\x09eu.", b"N" b"eu."),  # a label that is none
        (b"_reconstruct", b"_reconstrucT"),
        (b"\x80\x02}", b"\x80\x02]"),
        (b"\x80\x02}q\0(", b"\x80\x02}q\0(\x96\0\0\0\0\0\0\0\x10"),  # BYTEARRAY8 of 2**60 bytes
        (b"\x80\x02}q\0(", b"\x80\x02}q\0((K\1K\2\x86K\3"),  # a key that is no name
    ],
    ids=str,
)  # fmt: skip
def test_damaged_batches(old: bytes, new: bytes) -> None:
    data = cifar_pickle(*whole())
    if old.startswith(b"K\x00M"):
        old, new = old[2:], new[2:]
    assert old in data
    with pytest.raises(DataError, match="where"):
        reader.read_pickle(data.replace(old, new), "where")


def test_the_tiles_become_the_official_layout(real_data: Path, tmp_path: Path) -> None:
    """scripts/cifar_tiles.py, on the lossless tiles of the folder of real data."""
    pytest.importorskip("PIL")
    tiles = real_data / "cifar10"
    if not (tiles / "test_00.webp").is_file():
        pytest.skip(f"{tiles} holds no tiles")
    import runpy

    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "cifar_tiles.py"))
    script["convert"](tiles, tmp_path / "cifar10")
    dataset = s5ref.data.load("image", tmp_path)
    assert [len(split) for split in dataset.splits().values()] == [9000, 1000, 1000]
    first = (tmp_path / "cifar10" / "cifar-10-batches-bin" / "data_batch_1.bin").read_bytes()
    # the first image of the set is a frog, 59 of red in its first pixel
    assert (first[0], first[1]) == (6, 59)
