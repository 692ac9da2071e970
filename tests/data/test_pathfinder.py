"""Pathfinder and Path-X: the release's folders, its archive, and what s5ref has made."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
from real_formats import pathfinder, pathfinder_images, png, tar, write_tree

import s5ref.data
from s5ref.arrays import Array
from s5ref.data import Dataset
from s5ref.data import pathfinder as reader
from s5ref.data.stored import writing_arrays
from s5ref.errors import DataError, S5Error

pytest.importorskip("PIL")
BASE = "pathfinder32/curv_contour_length_14/"


def pairs(dataset: Dataset) -> list[bytes]:
    """All images with their labels, sorted."""
    return sorted(
        row.tobytes() + bytes([label])
        for split in dataset.splits().values()
        for row, label in zip(np.asarray(split.inputs), split.targets, strict=True)
    )


def wanted(images: Array, labels: Array) -> list[bytes]:
    return sorted(x.tobytes() + bytes([y]) for x, y in zip(images, labels, strict=True))


def test_every_form_of_the_release(tmp_path: Path) -> None:
    files = pathfinder()
    inside = {name.removeprefix(BASE): data for name, data in files.items()}
    others = {name.replace("_14", "_9"): data for name, data in pathfinder(n=20).items()}
    release = {f"lra_release/lra_release/{name}": data for name, data in (files | others).items()}
    folders = [
        write_tree(tmp_path / "a", files),
        write_tree(tmp_path / "b" / "pathfinder32", inside).parent,
        write_tree(tmp_path / "c", inside),
        write_tree(tmp_path / "d", {"lra_release.gz": gzip.compress(tar(release))}),
    ]
    found = [s5ref.data.load("pathfinder", folder) for folder in folders]
    for dataset in found:
        assert dataset.source == "partial: 32/4/4 of 160000/20000/20000 examples"
        assert pairs(dataset) == wanted(*pathfinder_images(32, 40))
        np.testing.assert_array_equal(np.asarray(dataset.train.inputs), np.asarray(found[0].train.inputs))
    batch = found[0].train.batch([3, 0])
    assert batch.inputs.shape == (2, 1024, 1)
    x = found[0].train.inputs[[3, 0]] / np.float32(255)
    np.testing.assert_array_equal(batch.inputs[..., 0], (x - np.float32(0.5)) / np.float32(0.5))


def test_pathx(tmp_path: Path) -> None:
    write_tree(tmp_path, pathfinder(128, 10))
    dataset = s5ref.data.load("pathx", tmp_path)
    assert dataset.train.inputs.shape == (8, 16384)
    assert pairs(dataset) == wanted(*pathfinder_images(128, 10))
    with pytest.raises(S5Error, match="data not found"):
        s5ref.data.load("pathfinder", tmp_path)


def made(folder: Path, **changed: object) -> None:
    images, labels = pathfinder_images(32, 10)
    facts = {"task": "pathfinder", "seed": 5, "sizes": [6, 2, 2]} | changed
    with writing_arrays(folder, facts) as arrays:
        with arrays.rows("images", (1024,), np.uint8) as add:
            add(images.reshape(10, 1024))
        arrays["labels"] = labels


def test_generated_images_are_split_in_their_order(tmp_path: Path) -> None:
    made(tmp_path / "pathfinder32")
    dataset = s5ref.data.load("pathfinder", tmp_path)
    assert dataset.source == "partial: 6/2/2 of 160000/20000/20000 examples, regenerated, seed 5"
    images, labels = pathfinder_images(32, 10)
    found = np.concatenate([np.asarray(split.inputs) for split in dataset.splits().values()])
    np.testing.assert_array_equal(found, images.reshape(10, 1024))
    assert dataset.validation.targets.tolist() == labels[6:8].tolist()


@pytest.mark.parametrize(
    "changed", [{"task": "pathx"}, {"sizes": [6, 2, 3]}, {"sizes": "no"}, {"seed": None}]
)
def test_generated_images_of_another_kind(tmp_path: Path, changed: dict[str, object]) -> None:
    made(tmp_path / "pathfinder32", **changed)
    if "seed" in changed:
        assert s5ref.data.load("pathfinder", tmp_path).source.endswith("seed None")
        return
    with pytest.raises(S5Error, match="pathfinder32"):
        s5ref.data.load("pathfinder", tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("imgs/0/sample_3.png", b"", r"lacks imgs/0/sample_3\.png"),
        ("imgs/0/sample_3.png", b"\x89PNG no", r"sample_3\.png is not readable as PNG"),
        ("imgs/0/sample_3.png", None, r"sample_3\.png must have 32 by 32 pixels; got \(16, 16\)|32 by 32"),
        ("metadata/1.npy", b"imgs/1 sample_0.png 0 2 1.0\n", r"1\.npy, line 1: must be .* label 0 or 1"),
        ("metadata/1.npy", b"\x93NUMPY\x01\0", "must be UTF-8"),
        ("metadata/1.npy", b"imgs/0 sample_0.png 0 1\n", "each once"),
        ("metadata/1.npy", b"../../etc passwd 0 1\n", r"lacks \.\./\.\./etc/passwd"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    small = png(np.zeros((16, 16), np.uint8)) if data is None else data
    write_tree(tmp_path, pathfinder() | {BASE + name: small})
    with pytest.raises(S5Error, match=message):
        s5ref.data.load("pathfinder", tmp_path)


def test_an_image_of_other_pixels_is_refused_before_it_is_decoded() -> None:
    whole = png(np.zeros((32, 32), np.uint8))
    huge = whole[:16] + (2**20).to_bytes(4, "big") * 2 + whole[24:]
    for data in (huge, whole[:-20], whole[:60], b"GIF89a" + whole):
        with pytest.raises(DataError, match="where"):
            reader.read_png(data, 32, "where")
    colour = png(np.full((32, 32, 3), 7, np.uint8))
    assert reader.read_png(colour, 32, "where").tolist() == [7] * 1024  # grey, as upstream opens it


def test_images_of_the_original_generator(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "pathfinder_ref" / "pathfinder32_hard_orig_generator_300.tar.xz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with lzma.open(path) as stream, tarfile.open(fileobj=stream) as archive:
        archive.extractall(tmp_path, filter="data")
    dataset = s5ref.data.load("pathfinder", tmp_path)
    assert [len(split) for split in dataset.splits().values()] == [240, 30, 30]
    pixels = np.concatenate([np.asarray(split.inputs) for split in dataset.splits().values()]) / 255
    assert abs(pixels.mean() - 0.0799) < 0.001  # spec of the original generator
    assert abs(pixels.std() - 0.2008) < 0.001
