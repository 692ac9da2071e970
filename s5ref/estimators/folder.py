"""The run folder of an estimator: estimator.npz, and fit.json, which says what it was fitted to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s5ref.errors import DataError
from s5ref.estimators import store
from s5ref.files import parsing, read_bytes, write_atomically

ESTIMATOR, FACTS = "estimator.npz", "fit.json"
_SCORE = (float, int, type(None))
_FIELDS: dict[str, Any] = {
    "file": str, "description": str, "method": str, "seconds": (float, int), "read": dict,
    "left_out": _SCORE, "test": _SCORE, "test_file": (str, type(None)),
}  # fmt: skip


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
    facts = read_facts(run)
    return store.load(Path(run) / ESTIMATOR), facts


def read_facts(run: str | Path) -> dict[str, Any]:
    """What fit.json says: file, description, method, seconds, read (the arguments of `s5ref.series.read`;
    its task is classes or real), left_out and test (scores, or None), test_file (or None).

    Raises
    ------
    DataError
        Where the file is missing or damaged.
    """
    path = Path(run) / FACTS
    with parsing(f"{path} is not readable", "Fit again."):
        facts = json.loads(read_bytes(path))
        if not isinstance(facts, dict):
            raise DataError(f"{path} must hold facts by name; got {str(facts)[:60]}.", "Fit again.")
        facts = {name: facts.get(name) for name in _FIELDS}
        for name, kind in _FIELDS.items():
            if not isinstance(facts[name], kind):
                raise DataError(f"{path} must hold {name}; got {str(facts[name])[:60]}.", "Fit again.")
        if (task := facts["read"].get("task")) not in ("classes", "real"):
            raise DataError(f"{path}: task in read must be classes or real; got {task!r}.", "Fit again.")
    return facts
