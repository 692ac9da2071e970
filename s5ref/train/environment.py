"""What a run ran on: versions, processor, threads, engine. Bits depend on it: a resumed run compares."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from s5ref import machine
from s5ref.errors import DataError
from s5ref.files import parsing, read_bytes

NAME = "environment.json"
KINDS = {"seed": int, "data": dict, "engine": str, "versions": dict, "blas": list}  # what a run reads again

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


def read(run: Path) -> dict[str, Any] | None:
    """The facts in ``run``/environment.json; None where a run was killed before it wrote them.

    Raises
    ------
    DataError
        If they are not what a run writes.
    """
    path = run / NAME
    if not path.exists():
        return None
    remedy = "Delete the file: the run goes on without it, and does not compare its data and its machine."
    with parsing(f"{path} must hold the facts of the run as JSON", remedy):
        facts = json.loads(read_bytes(path))
    for key, kind in KINDS.items():
        if not isinstance(facts, dict) or not isinstance(facts.get(key), kind):
            got = repr(facts.get(key)) if isinstance(facts, dict) else repr(facts)
            raise DataError(f"{path} must hold {key!r} of the kind {kind.__name__}; got {got}.", remedy)
    return dict(facts)


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
    libraries = [b for b in facts.get("blas", []) if isinstance(b, dict)]
    names = {f"{b.get('internal_api')} {b.get('version')} on {b.get('num_threads')}" for b in libraries}
    return ", ".join(sorted(names)) or "none"
