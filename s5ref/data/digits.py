"""Digits: 1,797 images of 8×8 pixels that travel with the package, so that training needs no download.

UCI Optical Recognition of Handwritten Digits, test set (Alpaydin and Kaynak 1998; CC BY 4.0; DOI
10.24432/C50P49).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from s5ref import npz
from s5ref.arrays import Array
from s5ref.data.batches import Dataset, Scale, Split
from s5ref.data.tasks import TASKS, Task
from s5ref.errors import DataError
from s5ref.files import reading
from s5ref.random import generator

FILE = Path(__file__).with_name("digits.npz")
SHA256 = {
    "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
}


def read(path: Path = FILE) -> tuple[Array, Array]:
    """(images (1797, 8, 8) uint8 in 0 … 16, labels (1797,) uint8), each checked by its SHA-256.

    Raises
    ------
    DataError
        If the file cannot be read or a sum differs.
    """
    remedy = "Reinstall s5ref."
    with reading(path) as stream:
        arrays = npz.loads(stream.read(), f"{path}: the embedded digits", remedy, deflated=True)
    for name, want in SHA256.items():
        got = hashlib.sha256(arrays[name].tobytes()).hexdigest() if name in arrays else "no such array"
        if got != want:
            raise DataError(f"{path}: SHA-256 of {name} must be {want}; got {got}.", remedy)
    return arrays["images"], arrays["labels"]


def load(task: Task = TASKS["digits"], data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """Digits as sequences of 64 pixels, row by row, divided by 16; a fixed split of 1257/180/360.

    The only files are those of the package, wherever data is looked for.
    """
    images, labels = read()
    rows = images.reshape(len(images), 64)
    train, validation, test = (
        Split(rows[part], labels[part], Scale(16.0))
        for part in np.split(generator("digits", "split").permutation(len(rows)), np.cumsum(task.sizes)[:-1])
    )
    return Dataset(task, train, validation, test, source="embedded")
