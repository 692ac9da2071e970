"""CIFAR-10 as sequences of 1,024 pixels: Image in grey, sCIFAR in colour; binary files or Python's batches.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from s5ref.arrays import Array
from s5ref.data.archives import contents
from s5ref.data.batches import Dataset, Rows, Split, Standardised
from s5ref.data.lookup import find, partial
from s5ref.data.official import is_official
from s5ref.data.parsed import parsed
from s5ref.data.stored import Arrays
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import DAMAGED, parsing
from s5ref.random import generator

PIXELS = 3072  # of an image: 1,024 of each of red, green, blue
MOST = 10_000  # images in a file
# of Python's batches; of the files of the binary version none is published, of its archive there is
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
COLOUR = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
GREY = (122.6 / 255,), (61.0 / 255,)
_LONGEST = 40_000_000  # bytes of a file


def read_binary(data: bytes, where: str) -> tuple[Array, Array]:
    """(images (n, 3072) uint8, labels (n,) uint8) of a file of records: a label, then the pixels.

    Raises
    ------
    DataError
        On another length, or a label above 9.
    """
    size = 1 + PIXELS
    n, rest = divmod(len(data), size)
    if rest or not 1 <= n <= MOST:
        raise DataError(
            f"{where}: must be 1 to {MOST} records of {size} bytes; got {len(data)} bytes.", DAMAGED
        )
    records = np.frombuffer(data, np.uint8).reshape(n, size)
    return records[:, 1:], _labels(records[:, 0], where)


def read_pickle(data: bytes, where: str) -> tuple[Array, Array]:
    """(images (n, 3072) uint8, labels (n,) uint8) of one of Python's batches, a pickle that calls nothing.

    Raises
    ------
    DataError
        On a pickle of anything else than a dict with an array of pixels and a list of labels.
    """
    with parsing(f"{where} is not readable as a batch of CIFAR-10", DAMAGED):
        batch = _Unpickler(where, data).load()
        named = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        labels = named["labels"]
        _, shape, dtype, fortran, pixels = named["data"].state
        n = len(labels)
        rows = tuple(shape) == (n, PIXELS) and len(pixels) == n * PIXELS and not fortran
        if type(pixels) is not bytes or dtype.given[0] not in ("u1", b"u1") or not rows or not 1 <= n <= MOST:
            raise DataError(
                f"{where}: must hold 1 to {MOST} labels, and a row of {PIXELS} bytes for each.", DAMAGED
            )
        if not all(type(label) is int and 0 <= label <= 9 for label in labels):
            raise DataError(f"{where}: labels must be in 0..9.", DAMAGED)
        return np.frombuffer(pixels, np.uint8).reshape(n, PIXELS), np.array(labels, np.uint8)


def _labels(labels: Array, where: str) -> Array:
    if labels.max() > 9:
        raise DataError(
            f"{where}: labels must be in 0..9; got {labels.max()} at image {int(labels.argmax())}.", DAMAGED
        )
    return labels


class _Inert:
    """Stands for what a pickle refers to, and keeps what it is called with and its state."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"), ("numpy", "dtype"),
}  # fmt: skip
_OPCODES = """
    PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE EMPTY_DICT EMPTY_LIST
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS BININT BININT1 BININT2 BINSTRING SHORT_BINSTRING
    BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE
"""


class _Unpickler(pickle._Unpickler):
    """The one that is written in Python, whose memory follows the file, with the opcodes of a batch alone.

    Every name stands for `_Inert`, so that nothing of the pickle is called.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        code: pickle._Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in _OPCODES.split())
    }

    def __init__(self, where: str, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self.where = where

    def find_class(self, module: str, name: str) -> type:
        """What stands for a name of the pickle.

        Raises
        ------
        DataError
            On a name that no batch of CIFAR-10 has.
        """
        if (module, name) not in _NAMES:
            raise DataError(
                f"{self.where}: a batch of CIFAR-10 must refer to arrays alone; it refers to "
                f"{module:.100}.{name:.100}. Nothing was called.",
                "Do not unpickle it: it is no file of CIFAR-10.",
            )
        return _Inert

    def load_setitems(self) -> None:
        """Keys are names: hashing others can take forever."""
        items = self.pop_mark()  # type: ignore[attr-defined]
        if any(type(key) not in (str, bytes) for key in items[::2]):
            raise DataError(f"{self.where}: the keys of its dict must be names.", DAMAGED)
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))  # type: ignore[attr-defined]

    dispatch[pickle.SETITEMS[0]] = load_setitems


def grey(images: Array) -> Array:
    """(n, 3072) colours → (n, 1024) greys: (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow's "L"."""
    red, green, blue = images.reshape(-1, 3, 1024).astype(np.uint32).swapaxes(0, 1)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def read(files: tuple[Path, ...]) -> tuple[dict[str, tuple[Array, Array]], bool]:
    """({"data_batch_1": (images, labels), …, "test_batch": …}, whether all are the official files).

    Raises
    ------
    DataError
        On a damaged file, two of one name, and where there are no training or no test images.
    """
    root = files[0] if len(files) == 1 else files[0].parent
    batches: dict[str, tuple[Array, Array]] = {}
    archive = is_official(root)
    official = True

    def stem(name: str) -> str:
        return name.rpartition("/")[2].removesuffix(".bin")

    for name, data in contents(root, lambda name: stem(name) in MD5, _LONGEST):
        if stem(name) in batches:
            raise DataError(f"{root}: must hold one file {stem(name)}; got {name:.200} too.", "Remove one.")
        where = f"{root}: {name}"
        reader = read_binary if name.endswith(".bin") else read_pickle
        batches[stem(name)] = reader(data, where)
        official &= archive or hashlib.md5(data, usedforsecurity=False).hexdigest() == MD5[stem(name)]
    if "test_batch" not in batches or len(batches) < 2:
        raise DataError(f"{root}: must hold data_batch_1 … 5 and test_batch; got {sorted(batches)}.", DAMAGED)
    return batches, official


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """Image (grey) or sCIFAR (colour) from the first complete set of files.

    The last tenth of a fixed permutation of the training images, the same for both, is for validation.

    Raises
    ------
    DataError
        On files that are missing, damaged or mislabelled.
    """
    files = find(task, data)

    def build(arrays: Arrays) -> None:
        batches, official = read(files)
        test = batches.pop("test_batch")
        train = [
            np.concatenate(parts) for parts in zip(*(batches[name] for name in sorted(batches)), strict=True)
        ]
        for split, (images, labels) in (("train", train), ("test", test)):
            colours = images.reshape(-1, 3, 1024).swapaxes(1, 2)
            arrays[f"{split}_inputs"] = grey(images) if task.in_dim == 1 else np.ascontiguousarray(colours)
            arrays[f"{split}_targets"] = labels
        arrays["official"] = np.array(official)

    sources = files if len(files) == 1 else sorted(files[0].parent.glob("*_batch*"))
    arrays = parsed(f"cifar1-{task.in_dim}", sources, build, use_cache)
    mean, deviation = (np.array(x) for x in (GREY if task.in_dim == 1 else COLOUR))
    prepare = Standardised(255.0, mean, deviation)
    rows, labels = arrays["train_inputs"], arrays["train_targets"]
    order = generator("cifar10", "split").permutation(len(rows))
    train, validation = (
        Split(Rows.of(rows, part), labels[part], prepare)
        for part in np.split(order, [len(rows) - len(rows) // 10])
    )
    test = Split(arrays["test_inputs"], arrays["test_targets"], prepare)
    sizes = len(train), len(validation), len(test)
    return Dataset(
        task, train, validation, test, partial(task, sizes, "official" if arrays["official"] else "")
    )
