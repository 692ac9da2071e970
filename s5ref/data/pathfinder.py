"""Pathfinder and Path-X: images of dashes as sequences of pixels; are the two discs on one contour?

Read are the release's folders of PNG files with their metadata, its archive, and what s5ref generates.
Linsley et al., "Learning long-range spatial dependencies with horizontal gated recurrent units", 2018; Tay et
al., Long Range Arena.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.data.archives import contents
from s5ref.data.batches import Dataset, Rows, Split, Standardised
from s5ref.data.characters import decode
from s5ref.data.lookup import find, partial
from s5ref.data.parsed import parsed
from s5ref.data.stored import MANIFEST, Arrays, read_arrays
from s5ref.data.tasks import Task
from s5ref.errors import DataError, optional
from s5ref.files import DAMAGED, parsing
from s5ref.random import generator

GENERATED = ("images.npy", "labels.npy", MANIFEST)  # of a folder that s5ref has made
_CURVES = "curv_contour_length_14"  # of the three folders of the release, the one that the task has
_LONGEST = 1 << 22  # bytes of a file
_PREPARE = Standardised(255.0, np.array([0.5]), np.array([0.5]))


def read_png(data: bytes, side: int, where: str) -> Array:
    """The (side²,) uint8 pixels of a grey image, row by row.

    Raises
    ------
    DataError
        If it is no whole PNG file of this size.
    MissingDependency
        Without Pillow.
    """
    image_module: Any = optional("PIL.Image", "data")
    with parsing(f"{where} is not readable as PNG", DAMAGED):
        image, again = (image_module.open(io.BytesIO(data), formats=["PNG"]) for _ in range(2))
        again.verify()  # the checksums of all parts, after which no pixel can be read of it
        if image.size != (side, side):  # before a pixel is decoded
            raise DataError(f"{where}: must have {side} by {side} pixels; got {image.size}.", DAMAGED)
        return np.asarray(image.convert("L"), np.uint8).reshape(-1)


def read_metadata(data: bytes, where: str) -> list[tuple[str, int]]:
    """[(name of an image, label)] of a metadata file: ``imgs/0 sample_0.png 0 1 …`` a line.

    Raises
    ------
    DataError
        Naming the line that is none.
    """
    rows = []
    for number, line in enumerate(decode(data, where).splitlines(), 1):
        words = line.split()
        if len(words) < 4 or words[3] not in ("0", "1"):
            raise DataError(
                f"{where}, line {number}: must be folder, file, number and label 0 or 1; got {line:.60}.",
                DAMAGED,
            )
        rows.append((f"{words[0]}/{words[1]}", int(words[3])))
    return rows


def _read_release(path: Path, task: Task, arrays: Arrays) -> None:
    """All images in the order in which they come; ``order``: those of the metadata, in its order; labels."""
    side = math.isqrt(task.length)
    inside = "" if path.is_dir() else rf"(?:^|/)pathfinder{side}/{_CURVES}/"
    wanted = re.compile(inside + r"(?:(imgs/[^/]+/[^/]+\.png)|metadata/(\d+)\.npy)$")
    at: dict[str, int] = {}
    metadata: dict[int, list[tuple[str, int]]] = {}
    with arrays.rows("inputs", (task.length,), np.uint8) as add:
        for name, data in contents(path, lambda name: wanted.search(name) is not None, _LONGEST):
            match = wanted.search(name)
            assert match is not None
            image, number = match.groups()
            where = f"{path}: {name}"
            if image is None:
                metadata[int(number)] = read_metadata(data, where)
            elif data:  # the release has one empty file, in a folder that the task leaves out
                at[image] = len(at)
                add(read_png(data, side, where)[None])
    rows = [row for number in sorted(metadata) for row in metadata[number]]
    names = [name for name, _ in rows]
    if not rows or len(set(names)) < len(names):
        raise DataError(f"{path}: its metadata must name images, each once; got {len(names)}.", DAMAGED)
    if missing := [name for name in names if name not in at]:
        raise DataError(f"{path}: must hold the images of its metadata; lacks {missing[0]:.200}.", DAMAGED)
    arrays["order"] = np.array([at[name] for name in names], np.int64)
    arrays["labels"] = np.array([label for _, label in rows], np.uint8)


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """Pathfinder or Path-X from the first complete set of files.

    Of the release, a fixed permutation is split into 80, 10 and 10 %.

    Raises
    ------
    DataError
        On files that are missing, damaged or mislabelled.
    MissingDependency
        Without Pillow, which reads PNG.
    """
    files = find(task, data)
    if files[-1].name == MANIFEST:
        return _generated(task, files[-1].parent)
    root = files[0] if len(files) == 1 else files[0].parent
    arrays = parsed(f"{task.name}1", files, lambda arrays: _read_release(root, task, arrays), use_cache)
    n = len(arrays["labels"])
    part = n // 10
    parts = np.split(generator(task.name, "split").permutation(n), [n - 2 * part, n - part])
    return _dataset(task, arrays["inputs"], arrays["labels"], [(arrays["order"][i], i) for i in parts], "")


def _generated(task: Task, folder: Path) -> Dataset:
    """What s5ref has made: training, validation and test images in this order."""
    remedy = f"Make it again: s5ref data {task.name} --make."
    arrays, facts = read_arrays(folder, remedy)
    with parsing(f"{folder} is no generated {task.name}", remedy):
        images, labels, sizes = arrays["images"], arrays["labels"], facts["sizes"]
        n, length = images.shape
        if (facts["task"], length, len(labels), sum(sizes)) != (task.name, task.length, n, n):
            raise DataError(f"{folder}: must hold {n} labels, and images of {task.length} pixels.", remedy)
        parts = np.split(np.arange(n), np.cumsum(sizes)[:-1])
    made = f"regenerated, seed {facts['seed']}"
    return _dataset(task, images, labels, [(part, part) for part in parts], made)


def _dataset(
    task: Task, images: Array, labels: Array, parts: list[tuple[Array, Array]], made: str
) -> Dataset:
    """``parts``: of each split, which images and which labels."""
    train, validation, test = (Split(Rows.of(images, i), labels[j], _PREPARE) for i, j in parts)
    sizes = len(train), len(validation), len(test)
    return Dataset(task, train, validation, test, partial(task, sizes, made))
