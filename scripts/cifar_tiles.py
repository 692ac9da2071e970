"""CIFAR-10 from sheets of images to the official binary layout.

    python scripts/cifar_tiles.py FOLDER OUT

FOLDER holds train_00.webp, …, and test_00.webp: 1,000 images each in official order, as 25 rows of 40 tiles
of 32 by 32 pixels, lossless; and train_labels.u8 and test_labels.u8, a byte an image. OUT gets
cifar-10-batches-bin/data_batch_1.bin, … and test_batch.bin, as many images as there are. Needs Pillow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

SIDE, ACROSS, DOWN = 32, 40, 25
BATCH = 10_000  # images in a file of the official set


def tiles(path: Path) -> Any:
    """(1000, 3072) uint8: the images of a sheet, 1,024 of each of red, green, blue."""
    from PIL import Image

    sheet = np.asarray(Image.open(path).convert("RGB"))
    if sheet.shape != (SIDE * DOWN, SIDE * ACROSS, 3):
        raise SystemExit(f"{path}: must be {DOWN} rows of {ACROSS} tiles; got {sheet.shape}.")
    grid = sheet.reshape(DOWN, SIDE, ACROSS, SIDE, 3)
    return grid.transpose(0, 2, 4, 1, 3).reshape(DOWN * ACROSS, 3 * SIDE * SIDE)


def convert(folder: Path, out: Path) -> None:
    """Write cifar-10-batches-bin below ``out``."""
    target = out / "cifar-10-batches-bin"
    target.mkdir(parents=True)
    for split in ("train", "test"):
        images = np.concatenate([tiles(path) for path in sorted(folder.glob(f"{split}_[0-9][0-9].webp"))])
        labels = np.frombuffer((folder / f"{split}_labels.u8").read_bytes(), np.uint8)[: len(images)]
        records = np.concatenate([labels[:, None], images], axis=1)
        for k, start in enumerate(range(0, len(records), BATCH), 1):
            name = "test_batch.bin" if split == "test" else f"data_batch_{k}.bin"
            (target / name).write_bytes(records[start : start + BATCH].tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
