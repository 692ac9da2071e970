"""Parsed data kept in the cache, so that text is parsed once. Nothing is written to a data folder."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from s5ref.arrays import Array
from s5ref.cache import cache_dir
from s5ref.files import writing


def cached(name: str, files: Sequence[Path], build: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """``build()``, or its earlier result for the same files: same paths, sizes and times of change.

    ``name`` carries the version of the parser. A cache that cannot be read is rebuilt; one that cannot be
    written is done without.
    """
    facts = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    key = hashlib.sha256(repr((name, facts)).encode()).hexdigest()[:24]
    path = cache_dir() / "parsed" / f"{name}-{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        arrays = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError:
        pass
    return arrays
