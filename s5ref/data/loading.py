"""The three things to do with a task's data: load it, check it, make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from s5ref.data import digits, images, listops
from s5ref.data.batches import Dataset
from s5ref.data.lookup import find, target
from s5ref.data.tasks import TASKS, Task, get_task
from s5ref.errors import ConfigError, DataError, S5Error
from s5ref.files import sha256
from s5ref.tree import described


@dataclass(frozen=True)
class FileCheck:
    """One file as it is on disk."""

    path: Path
    bytes: int
    sha256: str


@described
@dataclass(frozen=True)
class Check:
    """What `check` found. ok: the data was read whole and is right; else problem and remedy say more."""

    name: str
    ok: bool
    source: str = ""
    files: tuple[FileCheck, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    majority: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""


def load(name: str, data: str | Path | None = None) -> Dataset:
    """The data of a task.

    Parameters
    ----------
    name : str
        A key of `s5ref.data.TASKS`.
    data : path or None
        The folder of the data; None: S5REF_DATA, else the cache.

    Returns
    -------
    Dataset

    Raises
    ------
    ConfigError
        On an unknown name.
    DataError
        On data that are missing, damaged or not the official ones, and where s5ref has no reader.
    """
    return _load(get_task(name), data)


def check(name: str, data: str | Path | None = None) -> Check:
    """Read the data of a task from its files, past any cache, and report what was found.

    Raises
    ------
    ConfigError
        On an unknown name; every other problem is part of the report.
    """
    task = get_task(name)
    files: tuple[FileCheck, ...] = ()
    try:
        paths = find(task, data) if task.file_sets else ((digits.FILE,) if name == "digits" else ())
        files = tuple(FileCheck(path, path.stat().st_size, sha256(path)) for path in paths)
        dataset = _load(task, data, use_cache=False)
    except (S5Error, OSError) as error:
        problem = error.message if isinstance(error, S5Error) else str(error)
        remedy = error.remedy if isinstance(error, S5Error) else "Check the path and its permissions."
        return Check(name, False, files=files, problem=problem, remedy=remedy)
    splits = dataset.splits()
    counts = {split: len(examples) for split, examples in splits.items()}
    majority = {split: examples.majority_share() for split, examples in splits.items()}
    return Check(name, True, dataset.source, files, counts, majority)


def make(
    name: str,
    data: str | Path | None = None,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
    sizes: tuple[int, int, int] | None = None,
    workers: int | None = None,
) -> Path:
    """Generate (listops) or download (smnist, psmnist) the data of a task.

    Parameters
    ----------
    name : str
    data : path or None
        Written to ``data``/<task's folder>; None: in the cache.
    seed, sizes, workers
        Of ListOps: the seed, the numbers of (train, validation, test) examples, the threads.
    report : function or None
        Is given lines of progress.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        On an unknown name, or data that are part of s5ref.
    DataError
        On data that s5ref cannot make, a folder with other data, or mirrors that fail.
    MissingDependency
        Without pooch, which downloads.
    """
    task = get_task(name)
    folder = target(task, data)
    if name == "listops":
        from s5ref.data import listops_files

        return listops_files.make(folder, seed, sizes or listops_files.SIZES, workers, report)
    if name in ("smnist", "psmnist"):
        from s5ref.data.download import fetch_mnist

        fetch_mnist(folder, report=report)
        return folder
    if name == "digits":
        raise ConfigError("digits: is part of s5ref; there is nothing to make.", "Load it.")
    raise DataError(f"{name}: s5ref can neither generate nor download this data.", task.where)


def _load(task: Task, data: str | Path | None, use_cache: bool = True) -> Dataset:
    if task.name == "digits":
        return digits.load()
    if task.name in ("smnist", "psmnist"):
        return images.load(task.name, data)
    if task.name == "listops":
        return listops.load(data, use_cache)
    ready = ", ".join(other.name for other in TASKS.values() if other.available)
    raise DataError(
        f"{task.name}: s5ref has no reader for this data yet (readers exist for: {ready}).",
        f"{task.where} Arrays that you read yourself go to s5ref.train.",
    )
