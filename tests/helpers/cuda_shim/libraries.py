"""Stand-ins for NVIDIA's libraries, compiled for the CPU: libcublasLt, libcuda."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SEEN = ("heuristics", "products", "schemes", "workspace", "a", "b", "c", "d", "stream")  # of cublaslt.cpp


@functools.cache
def compiled(name: str, *options: str) -> Path:
    """The library of NAME.cpp; compiled once a process."""
    library = Path(tempfile.mkdtemp(prefix="s5ref-")) / f"{name}.so"
    compiler = shutil.which("g++") or shutil.which("clang++") or "g++"
    command = [compiler, "-std=c++17", "-O1", "-fPIC", "-shared", *options, str(HERE / f"{name}.cpp")]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library


def cublaslt() -> ctypes.CDLL:
    """libcublasLt's stand-in."""
    library = ctypes.CDLL(str(compiled("cublaslt")))
    library.standin_seen.restype = ctypes.c_uint64
    return library


def seen() -> dict[str, int]:
    """What the stand-in of libcublasLt counted, and what the last calls told it."""
    library = cublaslt()
    return {name: library.standin_seen(i) for i, name in enumerate(SEEN)}
