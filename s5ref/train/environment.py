"""What a run ran on: versions, processor, threads, engine. Bits depend on it: a resumed run compares."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from s5ref import machine

PACKAGES = ("s5ref", "numpy", "scipy", "numba", "threadpoolctl")
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def environment(engine: str) -> dict[str, Any]:
    """The facts, as JSON."""
    libraries = machine.blas()
    numpys = [info for info in libraries if "numpy" in info["filepath"]]  # SciPy brings one of its own
    keys = ("internal_api", "version", "architecture", "num_threads")
    blas = [{key: info.get(key) for key in keys} for info in numpys or libraries]
    return {
        "engine": engine,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": machine.processor(),
        "cores": os.cpu_count(),
        "blas": blas,
        "versions": {name: version for name in PACKAGES if (version := machine.version(name))},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "command": sys.argv,
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One sentence for everything that may change the bits of a run that is continued here."""
    pairs = {
        "engine": (before.get("engine"), now["engine"]),
        "processor": (before.get("cpu"), now["cpu"]),
        "BLAS and its threads": (_blas(before), _blas(now)),
        "NumPy": (before.get("versions", {}).get("numpy"), now["versions"].get("numpy")),
    }
    return [
        f"The run began with another {what} ({old}; now {new}): it continues, but not bit for bit."
        for what, (old, new) in pairs.items()
        if old != new
    ]


def _blas(facts: dict[str, Any]) -> str:
    names = {f"{b['internal_api']} {b['version']} on {b['num_threads']}" for b in facts.get("blas", [])}
    return ", ".join(sorted(names)) or "none"
