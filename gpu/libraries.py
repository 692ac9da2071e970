"""NVIDIA's shared libraries on Linux: their files and versions."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOOLKITS = ("CUDA_PATH", "CUDA_HOME")  # variables that name a toolkit's folder


class Library(NamedTuple):
    """A loaded library. ``path`` is its file, or its bare name where the system does not tell the file."""

    handle: ctypes.CDLL
    path: str


def load(stem: str, major: int) -> Library | None:
    """lib<stem>.so.<major>, or None. The first that is found: loaded already, of a wheel, of the system, of a
    toolkit. This is the order in which CuPy looks.
    """
    name = f"lib{stem}.so.{major}"
    already = getattr(os, "RTLD_NOLOAD", None)
    tries = [(name, already | os.RTLD_NOW)] if already is not None else []
    tries += [(place, ctypes.DEFAULT_MODE) for place in _places(name)]
    for place, mode in tries:
        try:
            handle = ctypes.CDLL(place, mode)
        except OSError:
            continue
        return Library(handle, _file(name) or place)
    return None


def _places(name: str) -> Iterator[str]:
    try:
        wheels = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        wheels = None
    for folder in (wheels.submodule_search_locations if wheels else None) or []:
        yield from (str(path) for path in sorted(Path(folder).glob(f"*/lib/{name}")))
    yield name
    for toolkit in (*(os.environ.get(variable) for variable in TOOLKITS), "/usr/local/cuda"):
        if toolkit:
            yield str(Path(toolkit) / "lib64" / name)


def _file(name: str) -> str | None:
    """The file that a loaded library came from."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[5] for line in lines if line.count(" ") >= 5 and "/" in line)
    return next((path for path in paths if Path(path).name.startswith(name)), None)


def nvrtc_version(library: ctypes.CDLL) -> str:
    """Version of NVRTC: "13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def cublaslt_version(library: ctypes.CDLL) -> str:
    """Version of cuBLASLt: "13.0.2"; since 12 it counts in ten thousands."""
    library.cublasLtGetVersion.restype = ctypes.c_size_t
    number = int(library.cublasLtGetVersion())
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
