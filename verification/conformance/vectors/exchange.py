"""The form for other languages: one JSON file per stage, numbers as hexadecimal floats.

An array is ``{"dtype", "shape", "data"}``, data as `s5ref.verification.conformance.hexadecimal` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.files import write_atomically
from s5ref.verification.conformance.hexadecimal import decoded, encoded
from s5ref.verification.conformance.vectors.store import FORMAT, VERSION, listed
from s5ref.verification.conformance.vectors.vector import Vector, vector

NAMES = {"in": "inputs", "d": "cotangents", "want": "expected", "bound": "bounds"}


def write(folder: Path, vectors: Iterable[Vector]) -> dict[str, int]:
    """One file per stage below ``folder``; {file name: vectors in it}."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for v in vectors:
        entries.setdefault(v.case.stage, []).append(_entry(v))
    for stage, of_stage in entries.items():
        head = {"format": f"{FORMAT}-json", "version": VERSION, "stage": stage}
        write_atomically(folder / f"{stage}.json", (listed(head, of_stage) + "}\n").encode())
    return {f"{stage}.json": len(of_stage) for stage, of_stage in entries.items()}


def _entry(v: Vector) -> dict[str, Any]:
    groups = {
        NAMES[group]: {name: _as_json(x) for name, x in arrays.items()} for group, arrays in v.groups.items()
    }
    return {**v.facts, "eps": v.eps.hex(), **groups}


def _as_json(x: Array) -> dict[str, Any]:
    return {"dtype": x.dtype.name, "shape": list(x.shape), "data": encoded(x)}


def _as_array(x: Mapping[str, Any]) -> Array:
    return np.asarray(decoded(x["dtype"], tuple(x["shape"]), x["data"]))


def parsed(document: Mapping[str, Any]) -> list[Vector]:
    """The vectors of a file that `write` has written."""
    return [
        vector(entry, {
            group: {name: _as_array(x) for name, x in entry[long].items()} for group, long in NAMES.items()
        })
        for entry in document["vectors"]
    ]  # fmt: skip
