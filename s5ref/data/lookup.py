"""Where data is looked for: the folder that was given, else S5REF_DATA, else the cache."""

from __future__ import annotations

import os
from pathlib import Path

from s5ref.cache import cache_dir
from s5ref.data.tasks import Task
from s5ref.errors import DataError

SUFFIXES = ("", ".gz", ".xz")
DATA_VARIABLE = "S5REF_DATA"


def candidates(task: Task, data: str | Path | None) -> list[Path]:
    """The folders looked at, in order: DIR/<task.folder>, then DIR itself, for every data directory.

    A given directory is the only one: other data is never used in its place.
    """
    own = os.environ.get(DATA_VARIABLE) or None if data is None else data
    bases = [] if own is None else [Path(own).expanduser()]
    if data is None:
        bases.append(cache_dir())
    return [folder for base in bases for folder in (base / task.folder, base)]


def find(task: Task, data: str | Path | None) -> tuple[Path, ...]:
    """The files of the first complete file set of ``task``.

    Raises
    ------
    DataError
        Naming every place and what it lacks, if there is none.
    """
    places = []
    for folder in candidates(task, data):
        best: list[str] = []
        for names in task.file_sets:
            files = [_existing(folder, name) for name in names]
            lacks = [name for name, file in zip(names, files, strict=True) if file is None]
            if not lacks:
                return tuple(file for file in files if file is not None)
            if not best or len(lacks) < len(best):
                best = lacks
        why = f"lacks {', '.join(best)}" if folder.is_dir() else "no such folder"
        places.append(f"{folder} ({why})")
    raise DataError(f"{task.name}: data not found. Looked in: {'; '.join(places)}.", task.where)


def partial(task: Task, sizes: tuple[int, int, int], made: str = "") -> str:
    """`Dataset.source` of data whose official checksum is not known: what can be said by their sizes.

    Parameters
    ----------
    task : Task
    sizes : tuple of int
        Training, validation and test examples that there are.
    made : str
        "regenerated, seed 0", where s5ref has made them; "": it has not.
    """
    if sizes != task.sizes:
        shares = f"{'/'.join(map(str, sizes))} of {'/'.join(map(str, task.sizes))} examples"
        return f"partial: {shares}" + (f", {made}" if made else "")
    return made or "unverified: files of the release's form and sizes (no official checksum is known)"


def target(task: Task, data: str | Path | None) -> Path:
    """The folder that `make` writes to: DIR/<task.folder> of the given directory, else of the cache."""
    return (cache_dir() if data is None else Path(data).expanduser()) / task.folder


def _existing(folder: Path, name: str) -> Path | None:
    """The file ``name``, plain or compressed; the folder, where the name ends in /."""
    if name.endswith("/"):
        return path if (path := folder / name).is_dir() else None
    return next((p for suffix in SUFFIXES if (p := folder / (name + suffix)).is_file()), None)
