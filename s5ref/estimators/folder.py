"""The run folder of an estimator: estimator.npz, and fit.json, which says what it was fitted to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s5ref.errors import DataError
from s5ref.estimators import store
from s5ref.files import parsing, read_bytes, write_atomically

ESTIMATOR, FACTS = "estimator.npz", "fit.json"


def write(run: Path, estimator: Any, facts: dict[str, Any]) -> None:
    """Both files into a folder; without estimator.npz, the last, it is no run."""
    write_atomically(run / FACTS, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    store.save(estimator, run / ESTIMATOR)


def read(run: str | Path) -> tuple[Any, dict[str, Any]]:
    """The estimator and the facts of a run.

    Raises
    ------
    DataError
        Where one of the files is missing or damaged.
    """
    path = Path(run) / FACTS
    with parsing(f"{path} is not readable", "Fit again."):
        facts = json.loads(read_bytes(path))
        if not isinstance(facts, dict) or not isinstance(facts.get("read"), dict):
            raise DataError(f"{path} must say how files are read; got {str(facts)[:60]}.", "Fit again.")
    return store.load(Path(run) / ESTIMATOR), facts
