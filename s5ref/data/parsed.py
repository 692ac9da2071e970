"""Parsed data kept in the cache, so that files are parsed once. Nothing is written to a data folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from s5ref.arrays import Array
from s5ref.cache import cache_dir
from s5ref.data.stored import Arrays, read_arrays, writing_arrays
from s5ref.errors import DataError


def parsed(
    name: str, files: Sequence[Path], build: Callable[[Arrays], object], use_cache: bool = True
) -> dict[str, Array]:
    """The arrays that ``build`` fills, or those of an earlier call for the same files.

    Parameters
    ----------
    name : str
        Carries the version of the parser.
    files : sequence of path
        What is parsed, files and folders: the same if their paths, sizes and times of change are.
    build : function
        Is given the `Arrays` to fill.
    use_cache : bool
        False: parse, and write nothing.

    Returns
    -------
    dict
        Of the cache: memory maps, every byte verified. A cache that is damaged is made again; one that cannot
        be written is done without.
    """
    if use_cache:
        key = hashlib.sha256(repr((name, [*_facts(files)])).encode()).hexdigest()[:24]
        folder = cache_dir() / "parsed" / f"{name}-{key}"
        with contextlib.suppress(DataError):
            return read_arrays(folder, "")[0]
        shutil.rmtree(folder, ignore_errors=True)  # absent or damaged
        with contextlib.suppress(OSError), writing_arrays(folder, {}) as arrays:
            build(arrays)
        with contextlib.suppress(DataError):
            return read_arrays(folder, "")[0]
    arrays = Arrays()
    build(arrays)
    return arrays


def _facts(paths: Sequence[Path]) -> Iterator[tuple[str, int, int]]:
    """(path, size, time of change) of every file, those in folders included."""
    for path in paths:
        if path.is_dir():
            with os.scandir(path) as entries:
                yield from _facts(sorted(Path(entry.path) for entry in entries))
        else:
            facts = path.stat()
            yield str(path.resolve()), facts.st_size, facts.st_mtime_ns
