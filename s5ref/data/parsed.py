"""Parsed data kept in the cache, so that text is parsed once. Nothing is written to a data folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from s5ref.arrays import Array
from s5ref.cache import cache_dir
from s5ref.errors import DataError


def cached(name: str, files: Sequence[Path], build: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """``build()``, or its earlier result for the same files: same paths, sizes and times of change.

    ``name`` carries the version of the parser. The cache has the form of a checkpoint, so that every byte is
    verified: one that is damaged is made again, and one that cannot be written is done without.
    """
    facts = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    key = hashlib.sha256(repr((name, facts)).encode()).hexdigest()[:24]
    path = cache_dir() / "parsed" / f"{name}-{key}.npz"
    from s5ref.train import checkpoint  # deferred: `s5ref.train` imports the data sets

    try:
        return checkpoint.load(path)[0]
    except DataError:  # absent or damaged
        arrays = build()
    with contextlib.suppress(OSError):
        checkpoint.save(path, arrays, {})
    return arrays
