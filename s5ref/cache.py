"""Where s5ref keeps what it can make again: compiled kernels, parsed data."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "S5REF_CACHE"


def cache_dir() -> Path:
    """S5REF_CACHE, else XDG_CACHE_HOME/s5ref, else ~/.cache/s5ref. It need not exist."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "s5ref"
