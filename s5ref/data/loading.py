"""The three things to do with a task's data: load it, check it, make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from s5ref.data import (
    aan,
    cifar,
    digits,
    images,
    imdb,
    listops,
    official,
    pathfinder,
    pathfinder_files,
    pendulum,
    speech,
)
from s5ref.data.batches import Dataset
from s5ref.data.download import archive_maker, mnist_maker
from s5ref.data.lookup import find, target
from s5ref.data.making import Making
from s5ref.data.tasks import Task, get_task
from s5ref.errors import ConfigError, S5Error
from s5ref.files import sha256
from s5ref.tree import described


@dataclass(frozen=True)
class Reader:
    """What s5ref can do with the data of a task. Without the cache ``load`` reads everything from its files
    and writes nothing.

    load      (task, data, use_cache) → Dataset. data: as of `load`
    make      (task, folder, making) generates or downloads the data; None: it comes with s5ref
    compiled  whether one of them runs compiled code, which takes seconds the first time
    """

    load: Callable[[Task, str | Path | None, bool], Dataset]
    make: Callable[[Task, Path, Making], object] | None = None
    compiled: bool = False


READERS: dict[str, Reader] = {
    "digits": Reader(digits.load),
    "smnist": Reader(images.load, mnist_maker),
    "psmnist": Reader(images.load, mnist_maker),
    "scifar": Reader(cifar.load, archive_maker(official.CIFAR10)),
    "listops": Reader(listops.load, listops.make, compiled=True),
    "text": Reader(imdb.load, archive_maker(official.IMDB)),
    "retrieval": Reader(aan.load, archive_maker(official.LRA)),
    "image": Reader(cifar.load, archive_maker(official.CIFAR10)),
    "pathfinder": Reader(pathfinder.load, pathfinder_files.make, compiled=True),
    "pathx": Reader(pathfinder.load, pathfinder_files.make, compiled=True),
    "speech35": Reader(speech.load, archive_maker(official.SPEECH_COMMANDS)),
    "pendulum": Reader(pendulum.load, pendulum.make),
}


@dataclass(frozen=True)
class FileCheck:
    """One file as it is on disk; of a folder the bytes of all its files, and no checksum."""

    path: Path
    bytes: int
    sha256: str


def _file_check(path: Path) -> FileCheck:
    if path.is_dir():
        return FileCheck(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()), "")
    return FileCheck(path, path.stat().st_size, sha256(path))


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
        On data that are missing, damaged or not the official ones.
    """
    task = get_task(name)
    return READERS[task.name].load(task, data, True)


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
        paths = find(task, data) if task.file_sets else (digits.FILE,)
        files = tuple(map(_file_check, paths))
        dataset = READERS[task.name].load(task, data, False)
    except (S5Error, OSError) as error:
        problem = error.message if isinstance(error, S5Error) else str(error)
        remedy = error.remedy if isinstance(error, S5Error) else "Check the path and its permissions."
        return Check(name, False, files=files, problem=problem, remedy=remedy)
    splits = dataset.splits()
    counts = {split: len(examples) for split, examples in splits.items()}
    classes = task.measured_by == "accuracy"
    majority = {split: examples.majority_share() for split, examples in splits.items() if classes}
    return Check(name, True, dataset.source, files, counts, majority)


def make(
    name: str,
    data: str | Path | None = None,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
    sizes: tuple[int, int, int] | None = None,
    workers: int | None = None,
) -> Path:
    """Generate or download the data of a task.

    Parameters
    ----------
    name : str
    data : path or None
        Written to ``data``/<task's folder>; None: in the cache.
    seed, sizes, workers
        Of what is generated: the seed, the numbers of (train, validation, test) examples, the threads.
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
        On a folder with other data, or mirrors that fail.
    MissingDependency
        Without pooch, which downloads.
    """
    task = get_task(name)
    reader = READERS[task.name]
    if reader.make is None:
        raise ConfigError(f"{name}: is part of s5ref; there is nothing to make.", "Load it.")
    folder = target(task, data)
    reader.make(task, folder, Making(seed, sizes, workers, report))
    return folder
