"""Pathfinder and Path-X generated into a folder: images.npy, labels.npy and manifest.json
(`s5ref.data.stored`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.data.making import Making, check_sizes
from s5ref.data.stored import already_holds, writing_arrays
from s5ref.data.tasks import Task
from s5ref.terminal import Timer

_VERSION = 1  # of the generator: other versions may draw other images for the same seed


def make(task: Task, folder: Path, making: Making) -> None:
    """images (n, L) uint8, row by row, and labels (n,) uint8: train, validation and test one behind the
    other.

    Image i of all is a function of the seed and of i, whatever the sizes are. The folder is there as a whole
    or not at all; one that holds the same data is verified and kept.

    Raises
    ------
    ConfigError
        On an empty split.
    DataError
        If the folder holds anything else.
    """
    sizes = making.sizes or task.sizes
    check_sizes(task.name, sizes)
    facts: dict[str, Any] = {
        "task": task.name, "generator": f"s5ref {_VERSION}", "size": math.isqrt(task.length),
        "seed": making.seed, "sizes": list(sizes),
    }  # fmt: skip
    if already_holds(folder, facts):
        return
    from s5ref.data.pathfinder_generator import chunks  # deferred: it imports Numba

    labels, done, timer = [], 0, Timer()
    with writing_arrays(folder, facts) as arrays:
        with arrays.rows("images", (task.length,), np.uint8) as add:
            for drawn in chunks(making.seed, facts["size"], 0, sum(sizes), making.workers):
                add(drawn.images)
                labels.append(drawn.labels)
                done += len(drawn.labels)
                if making.report is not None and (timer.due() or done == sum(sizes)):
                    making.report(f"{task.name}: {done} of {sum(sizes)} images")
        arrays["labels"] = np.concatenate(labels)
