"""MNIST as sequences: the idx file format, its official files, sMNIST and psMNIST.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; CC BY-SA 3.0.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from s5ref.arrays import Array
from s5ref.data.batches import Dataset, Scale, Split
from s5ref.data.lookup import find
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import DAMAGED, reading
from s5ref.random import generator


@dataclass(frozen=True)
class Official:
    """An official file: its examples, the SHA-256 of the .gz as published and of its content."""

    name: str
    count: int
    gz: str
    content: str


MNIST = (
    Official(
        "train-images-idx3-ubyte", 60000,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    Official(
        "train-labels-idx1-ubyte", 60000,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    Official(
        "t10k-images-idx3-ubyte", 10000,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    Official(
        "t10k-labels-idx1-ubyte", 10000,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)  # fmt: skip
_KINDS = {b"\0\0\x08\x03": " (an images file)", b"\0\0\x08\x01": " (a labels file)"}


def read_idx_shape(path: Path, stream: IO[bytes], ndim: int) -> tuple[int, ...]:
    """The sizes that an idx file begins with: magic 00 00 08 ndim, then big-endian 32-bit numbers.

    Raises
    ------
    DataError
        On another magic, or sizes that are cut off.
    """
    want, header = bytes((0, 0, 8, ndim)), stream.read(4 + 4 * ndim)
    if header[:4] != want:
        got = (header[:4].hex(" ") or "nothing") + _KINDS.get(header[:4], "")
        raise DataError(
            f"{path}: the idx magic must be {want.hex(' ')}; got {got}.",
            "Check that the file is what its name says.",
        )
    if len(header) < 4 + 4 * ndim:
        raise DataError(
            f"{path}: must hold {4 + 4 * ndim} bytes of magic and sizes; got {len(header)}.", DAMAGED
        )
    return tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))


def read_idx_values(path: Path, stream: IO[bytes], shape: tuple[int, ...]) -> Array:
    """The uint8 array that follows the sizes of an idx file and ends it. No more than that is read.

    Raises
    ------
    DataError
        On fewer bytes or more.
    """
    size = math.prod(shape)
    content = stream.read(size)
    if len(content) < size:
        raise DataError(f"{path}: must hold {size} bytes after its sizes; got {len(content)}.", DAMAGED)
    if stream.read(1):
        raise DataError(f"{path}: must end {size} bytes after its sizes; more follow.", DAMAGED)
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_official(path: Path, official: Official, ndim: int) -> Array:
    """An official file, plain or compressed: its form, its number of examples, then its SHA-256.

    Raises
    ------
    DataError
        If one of them is not as published.
    """
    with reading(path) as stream:
        shape = read_idx_shape(path, stream, ndim)
        _check_official(path, official, shape)
        array = read_idx_values(path, stream, shape)
    if ndim == 1 and array.size and array.max() > 9:
        raise DataError(
            f"{path}: labels must be in 0..9; got {array.max()} at example {int(array.argmax())}.", DAMAGED
        )
    header = bytes((0, 0, 8, ndim)) + b"".join(n.to_bytes(4, "big") for n in shape)
    got = hashlib.sha256(header + array.tobytes()).hexdigest()
    if got != official.content:
        raise DataError(
            f"{path}: SHA-256 of the content of {official.name} must be {official.content}; got {got}.",
            "The file was altered or is another data set: get the official one "
            "(your own images: s5ref.train with arrays).",
        )
    return array


def _check_official(path: Path, official: Official, shape: tuple[int, ...]) -> None:
    """The sizes of an official file, before anything of these sizes is read."""
    if shape[0] != official.count:
        twins = {other.count for other in MNIST} - {official.count}
        hint = " Is it the other set's file under this name?" if shape[0] in twins else ""
        raise DataError(
            f"{path}: {official.name} must hold {official.count} examples; got {shape[0]}.",
            f"Get the official file.{hint}",
        )
    if shape[1:] not in ((), (28, 28)):
        raise DataError(
            f"{path}: {official.name} must hold images of 28 by 28 pixels; got {shape[1:]}.",
            "Get the official file.",
        )


def read_mnist(files: tuple[Path, ...]) -> tuple[Array, Array, Array, Array]:
    """(train images (60000, 784), train labels, test images (10000, 784), test labels), uint8."""
    arrays = [
        read_official(path, official, 3 if "images" in official.name else 1)
        for path, official in zip(files, MNIST, strict=True)
    ]
    rows, labels, test_rows, test_labels = arrays
    return rows.reshape(len(rows), -1), labels, test_rows.reshape(len(test_rows), -1), test_labels


def bit_reversal(n: int) -> npt.NDArray[np.int64]:
    """0 … 2^b − 1 in the order of bit-reversed indices, b = ⌈log₂ n⌉, without the entries ≥ n.

    For psMNIST n = 784 and b = 10: 0, 512, 256, 768, 128, …; new step i is old pixel bit_reversal(784)[i].
    """
    bits = max(n - 1, 0).bit_length()
    reversed_index = np.array([int(f"{i:0{bits}b}"[::-1], 2) if bits else 0 for i in range(1 << bits)])
    return reversed_index[reversed_index < n]


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """sMNIST (pixels row by row, ÷255) or psMNIST (in bit-reversed order): 54000/6000/10000.

    The 6000 validation images are the end of a fixed permutation of the training file, the same for both.

    Raises
    ------
    DataError
        On files that are missing or not the official ones.
    """
    rows, labels, test_rows, test_labels = read_mnist(find(task, data))
    parts = generator("mnist", "split").permutation(len(rows))
    held_out = len(rows) // 10
    if task.name == "psmnist":
        pixels = bit_reversal(rows.shape[1])
        rows, test_rows = rows[:, pixels], test_rows[:, pixels]
    train, validation = (
        Split(rows[part], labels[part], Scale(255.0)) for part in np.split(parts, [len(rows) - held_out])
    )
    return Dataset(task, train, validation, Split(test_rows, test_labels, Scale(255.0)), source="official")
