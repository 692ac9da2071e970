"""Pendulum regression: reading the authors' npz, or our own of the same form, as irregularly sampled videos.

Of the 100 frames of a sequence 50 are kept, drawn without replacement by a generator of its own; inputs are
pixels/255, an image a step, row by row. Targets are sine and cosine of the angle. The interval before a frame
is the number of frames since the last one that was kept; before the first one it is 1.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s5ref import npz
from s5ref.arrays import Array
from s5ref.data.batches import Dataset, Scale, Split
from s5ref.data.lookup import find
from s5ref.data.making import Making, check_sizes
from s5ref.data.pendulum_generator import FRAMES, SIDE, generated
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import read_bytes, writing

REMEDY = "Make the data with `s5ref data pendulum --make`."
FILE = "pend_regression.npz"
KEPT = FRAMES // 2
SPLITS = ("train", "valid", "test")
MADE = {  # SHA-256 of the frames of what `s5ref data pendulum --make` makes
    "train": "2313b6a2786b9abf2a5ccfc21005720c38f5b78b9ee4c811a4681f3d8b09d348",
    "valid": "b5dba9a68edbbe400faa6f8a1f4836200430e35874ce60c3e0a65fc40689df48",
    "test": "3cea4d11137a9b29e9458cd693a3a0a4d7f398818f9e865aaf1042185ef0d09e",
}


class Videos(NamedTuple):
    """Whole sequences: frames (n, 100, 24, 24, 1) uint8, sine and cosine (n, 100, 2)."""

    frames: Array
    targets: Array


def read(path: Path) -> dict[str, Videos]:
    """The three sets of a file.

    Raises
    ------
    DataError
        If it is no npz file, lacks one, or they are not such sequences.
    """
    where = str(path)
    archive = npz.Archive(read_bytes(path), where, REMEDY, deflated=True)
    names = {name.removesuffix(".npy") for name in archive.names}
    needed = [f"{split}_{what}" for split in SPLITS for what in ("obs", "targets")]
    if lacks := [name for name in needed if name not in names]:
        raise DataError(f"{where} must hold {', '.join(needed)}; it lacks {', '.join(lacks)}.", REMEDY)

    def array(name: str) -> Array:
        return npz.loads_array(archive.read(f"{name}.npy"), f"{where}: {name}", REMEDY)

    return {
        split: _checked(where, split, array(f"{split}_obs"), array(f"{split}_targets")) for split in SPLITS
    }


def _checked(where: str, split: str, frames: Array, targets: Array) -> Videos:
    n = len(frames) if frames.ndim else 0
    of_frames, of_targets = (n, FRAMES, SIDE, SIDE, 1), (n, FRAMES, 2)
    for name, x, dtype, shape in (
        ("obs", frames, np.uint8, of_frames), ("targets", targets, np.float64, of_targets),
    ):  # fmt: skip
        if x.dtype != dtype or x.shape != shape or n == 0:
            raise DataError(
                f"{where}: {split}_{name} must be {np.dtype(dtype)} (n, {', '.join(map(str, shape[1:]))}) "
                f"with n ≥ 1, the same for both; got {x.dtype} {x.shape}.",
                REMEDY,
            )
    if not np.allclose(np.square(targets).sum(-1), 1, rtol=0, atol=1e-6):
        raise DataError(
            f"{where}: {split}_targets must be sine and cosine of an angle; they are not.", REMEDY
        )
    return Videos(frames, targets)


def sampled(videos: Videos, first_seed: int) -> tuple[Array, Array, Array]:
    """(frames (n, 50, 576), targets (n, 50, 2), intervals (n, 50)) of the frames that are kept: those of
    sequence i by default_rng(first_seed + i).
    """
    n = len(videos.frames)
    kept = np.stack([
        np.sort(np.random.default_rng(first_seed + i).choice(FRAMES, KEPT, replace=False)) for i in range(n)
    ])  # fmt: skip
    rows = np.arange(n)[:, None]
    intervals = np.diff(kept, axis=1, prepend=kept[:, :1] - 1)
    return (
        videos.frames[rows, kept].reshape(n, KEPT, -1),
        videos.targets[rows, kept],
        intervals.astype(np.uint8),
    )


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """The three sets, 2000/1000/1000 sequences of 50 frames.

    Raises
    ------
    DataError
        On a file that is missing or damaged.
    """
    videos = read(find(task, data)[0])
    made = {split: hashlib.sha256(there.frames.data).hexdigest() for split, there in videos.items()} == MADE
    splits = []
    for split in SPLITS:  # seeds go on from the number of examples, but in the test set from 0
        there = videos.pop(split)
        frames, targets, intervals = sampled(there, 0 if split == "test" else len(there.frames))
        splits.append(Split(frames, targets, Scale(255.0), intervals=intervals))
    source = "regenerated" if made else "unverified: other sequences than s5ref makes"
    train, validation, test = splits
    return Dataset(task, train, validation, test, source)


def make(task: Task, folder: Path, making: Making) -> None:
    """`FILE` in ``folder``. One that holds the same frames is kept.

    Raises
    ------
    ConfigError
        On an empty split.
    DataError
        If there is a file with other content.
    MissingDependency
        Without Pillow, which draws.
    """
    sizes = making.sizes or task.sizes
    check_sizes(task.name, sizes)
    arrays, path = generated(sizes, making.seed, making.report or (lambda line: None)), folder / FILE
    if not path.exists():
        with writing(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        return
    if any(not np.array_equal(there.frames, arrays[f"{split}_obs"]) for split, there in read(path).items()):
        raise DataError(
            f"{path}: already holds other sequences.", "Choose another folder, or move the file away."
        )
