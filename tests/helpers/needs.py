"""Tests that need more than Python carry a marker; where the need is missing they are counted and named,
never dropped in silence.

``S5REF_REQUIRE`` names the needs that must be met (comma-separated): a test left out for one of them fails
the run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def nvrtc_library() -> Path | None:
    """libnvrtc of an nvidia-cuda-nvrtc package: nvidia/cu13/lib, or nvidia/cuda_nvrtc/lib of CUDA 12."""
    return _library("libnvrtc")


def cublaslt_library() -> Path | None:
    """libcublasLt of an nvidia-cublas package."""
    return _library("libcublasLt")


def _library(name: str) -> Path | None:
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations if spec else None) or []
    return max(
        (path for folder in folders for path in Path(folder).glob(f"*/lib/{name}.so.[0-9]*")), default=None
    )


def sanitizer_library(name: str) -> Path | None:
    """g++'s libasan or libtsan, to be loaded before Python."""
    if shutil.which("g++") is None:
        return None
    command = ["g++", f"-print-file-name=lib{name}.so"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return path if path.is_absolute() and path.exists() else None


def mpirun() -> Path | None:
    """The launcher of MPI: that of this environment (the wheel mpich), or the machine's."""
    here = Path(sys.executable).with_name("mpirun")
    found = shutil.which("mpirun")
    return here if here.exists() else Path(found) if found else None


def _gpu() -> bool:
    return shutil.which("nvidia-smi") is not None and _installed("cupy")


NEEDS: dict[str, Callable[[], bool]] = {
    "cxx": lambda: shutil.which("g++") is not None or shutil.which("clang++") is not None,
    "node": lambda: shutil.which("node") is not None,
    "onnx": lambda: _installed("onnx", "onnxruntime"),
    "nvrtc": lambda: nvrtc_library() is not None,
    "cupy": lambda: _installed("cupy") and None not in (nvrtc_library(), cublaslt_library()),
    "sanitizers": lambda: all(sanitizer_library(name) for name in ("asan", "tsan")),
    "torch": lambda: _installed("torch", "s5"),  # s5 is the package s5-pytorch
    "jax": lambda: _installed("jax", "flax"),
    "gpu": _gpu,
    "browser": lambda: shutil.which("chromium") is not None,
    "mpi": lambda: _installed("mpi4py") and mpirun() is not None,
    "yaml": lambda: _installed("yaml"),
}


def leave_out(items: list[pytest.Item]) -> dict[str, list[str]]:
    """Mark the tests whose need is missing here as skipped; returns their names by need."""
    left_out: dict[str, list[str]] = {}
    for need, met in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(need)]
        if marked and not met():
            left_out[need] = [item.nodeid for item in marked]
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"needs {need}, which is missing here"))
    return left_out


def required() -> set[str]:
    """The needs that must be met here."""
    return {need for need in os.environ.get("S5REF_REQUIRE", "").split(",") if need}


def summary(left_out: dict[str, list[str]]) -> list[str]:
    """The lines of the report: what was left out, and for want of what."""
    lines = [
        f"left out for want of {need}: {len(names)} "
        f"({', '.join(sorted(names)[:5])}{', …' if len(names) > 5 else ''})"
        for need, names in left_out.items()
    ]
    return lines or ["left out: none"]
