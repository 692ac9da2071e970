"""Compiled functions: no fastmath, no GIL, and a cache that cannot serve stale code.

Numba's own cache notices neither an edited callee, nor changed flags, nor damage. Ours (kernel_cache.py) lies
in a folder named by a hash of every kernel source, that of Pathfinder's generator among them, and of
s5ref/nn, whose constants they hold, the Numba version, the flags in force and the CPU.

    @compiled         called from Python; compiled at its first call and cached
    @device_function  called from compiled functions only, and a part of their cache entries
    @inlined          the same, but pasted into its caller before that is compiled: for what has one caller.
                      LLVM then optimises it once, instead of once by itself and again in its caller

None of them counts references to the arrays that it is given, which outlive the call: counting makes
compilation longer. An array made inside needs it: ``compiled(fn, allocates=True)``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm

from s5ref.arrays import Array
from s5ref.cpu.kernel_cache import KernelCache, kernel_folder

REAL = (np.dtype(np.float32), np.dtype(np.float64))  # what the loops are compiled for, in native byte order
COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))

_announced = False
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
_NOT_FROM_C: Any = {"no_cfunc_wrapper": True, **_OPTIONS}
_NOT_FROM_PYTHON: Any = {"no_cpython_wrapper": True, **_NOT_FROM_C}


def compiled(fn: Callable[..., Any], allocates: bool = False) -> Any:
    """``fn`` compiled on first use, once per machine where a cache folder can be used."""
    dispatcher = numba.njit(**{**_NOT_FROM_C, "_nrt": allocates})(fn)
    folder, _ = _cache_folder()
    if folder:
        dispatcher._cache = KernelCache(fn, folder)
    return dispatcher


def device_function(fn: Callable[..., Any]) -> Any:
    """``fn`` for compiled callers only: without a Python wrapper and a cache entry of its own."""
    return numba.njit(**_NOT_FROM_PYTHON)(fn)


def inlined(fn: Callable[..., Any]) -> Any:
    """``fn`` as a part of its caller, before anything is compiled."""
    return numba.njit(inline="always", **_OPTIONS)(fn)


def writeable(a: Array, dtype: Any) -> Array:
    """``a`` contiguous, of the dtype and writeable: Numba compiles another version for an array that is
    not.
    """
    if a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable:
        return a
    return np.require(a, dtype, ("C", "W"))


def broadcast(a: Array, like: Array) -> Array:
    """``a`` in the shape and the dtype of ``like``, and `writeable`; ``a`` itself where it is all this."""
    return writeable(a if a.shape == like.shape else np.broadcast_to(a, like.shape), like.dtype)


def announce() -> None:
    """One line, once, on stderr when kernels are about to be compiled rather than read from the cache."""
    global _announced
    if _announced:
        return
    _announced = True
    folder, why_none = _cache_folder()
    if folder is None:
        print(f"compiling kernels (for this process only: {why_none})", file=sys.stderr, flush=True)
    elif not any(folder.glob("*.kernel")):
        print("compiling kernels (once, about 30 s)", file=sys.stderr, flush=True)


@cache
def _cache_folder() -> tuple[Path | None, str]:
    """The folder of this exact set of kernels, and ""; None and the reason where none can be used."""
    return kernel_folder(_key())


def _key() -> str:
    digest = hashlib.sha256()
    here = Path(__file__).parent
    generator = here.with_name("data") / "pathfinder_generator.py"
    for source in sorted([*here.glob("*.py"), *here.with_name("nn").glob("*.py"), generator]):
        digest.update(source.read_bytes())
    flags = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}
    flags.pop("NUMBA_NUM_THREADS", None)  # changes no code
    cpu = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    digest.update(repr((numba.__version__, sys.version_info[:2], sorted(flags.items()), cpu)).encode())
    return digest.hexdigest()[:16]
