"""The facts of this machine and this installation; None or empty where the system does not tell."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

CPUINFO, STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")
CONTAINER = (  # cgroups, version 2 and 1
    Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)  # fmt: skip
SIMD = ("SSE42", "AVX", "AVX2", "FMA3", "AVX512F", "AVX512_SKX", "NEON", "ASIMD", "SVE", "VSX")


def processor() -> str:
    """The processor's name, or else its architecture."""
    return _field(CPUINFO, "model name") or platform.processor() or platform.machine()


def cores() -> set[int]:
    """The cores that this process may run on, by their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(cores())


def simd() -> list[str]:
    """The vector instructions that matter here, as NumPy finds them."""
    try:
        umath: Any = importlib.import_module("numpy._core._multiarray_umath")
        features = umath.__cpu_features__
    except (ImportError, AttributeError):
        return []
    return [name for name in SIMD if features.get(name)]


def blas() -> list[dict[str, Any]]:
    """Every BLAS that is loaded, in threadpoolctl's words: internal_api, version, num_threads, filepath …"""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [library for library in threadpool_info() if library["user_api"] == "blas"]


def version(distribution: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def load() -> float | None:
    """Processes that ran or waited to run, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def memory_bytes() -> int | None:
    """The memory of this machine, or of the container that this process runs in, if that has less."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for path in CONTAINER:
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            sizes.append(int(path.read_text(encoding="utf-8")))
    return min(sizes)


def peak_bytes() -> int | None:
    """The largest resident memory that this process has had.

    Linux: VmHWM, since getrusage's ru_maxrss there begins with that of the process which started this one.
    """
    if peak := _field(STATUS, "VmHWM"):
        return 1024 * int(peak.split()[0])
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _field(path: Path, name: str) -> str:
    """The value of the first line ``name: value``."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
