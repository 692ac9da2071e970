"""The form for other languages: one JSON file per stage, numbers as hexadecimal floats.

An array is ``{"dtype", "shape", "data"}``, data flat in C order; complex numbers are real, imaginary,
real, …;
whole numbers are decimal. A hexadecimal float (C's %a, ``0x1.8p+1``) is exact and read by strtod, Julia,
Rust's
hexf, Python's float.fromhex; docs/vectors.md has four lines for languages that lack one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.vectors.store import FORMAT, VERSION
from s5ref.verification.conformance.vectors.vector import Vector, vector

NAMES = {"in": "inputs", "d": "cotangents", "want": "expected", "bound": "bounds"}


def document(stage: str, vectors: Iterable[Vector]) -> dict[str, Any]:
    """The JSON object of one stage."""
    return {
        "format": f"{FORMAT}-json",
        "version": VERSION,
        "stage": stage,
        "vectors": [_entry(v) for v in vectors if v.case.stage == stage],
    }


def _entry(v: Vector) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {long: {} for long in NAMES.values()}
    for name, x in v.arrays.items():
        group, _, rest = name.partition("/")
        groups[NAMES[group]][rest] = encoded(x)
    facts: dict[str, Any] = v.facts
    return facts | {"eps": v.eps.hex()} | groups


def encoded(x: Array) -> dict[str, Any]:
    """One array."""
    if x.dtype.kind in "iu":
        return {"dtype": x.dtype.name, "shape": list(x.shape), "data": [int(k) for k in x.flat]}
    parts = np.stack([x.real, x.imag], axis=-1) if x.dtype.kind == "c" else x
    return {"dtype": x.dtype.name, "shape": list(x.shape), "data": [float(k).hex() for k in parts.flat]}


def decoded(entry: Mapping[str, Any]) -> Array:
    """The inverse of `encoded`."""
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    if dtype.kind in "iu":
        return np.array(entry["data"], dtype).reshape(shape)
    numbers = np.array([float.fromhex(text) for text in entry["data"]])
    if dtype.kind == "c":
        numbers = numbers.view(np.complex128)  # keeps the signs of zeros
    return np.asarray(numbers.astype(dtype).reshape(shape))


def parsed(found: Mapping[str, Any]) -> list[Vector]:
    """The vectors of a document: the inverse of `document`."""
    return [
        vector(
            entry,
            {
                f"{short}/{name}": decoded(x)
                for short, long in NAMES.items()
                for name, x in entry[long].items()
            },
        )
        for entry in found["vectors"]
    ]


def write(folder: Path, vectors: Iterable[Vector]) -> dict[str, int]:
    """One file per stage below ``folder``; {file name: vectors in it}."""
    vectors = list(vectors)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, int] = {}
    for stage in dict.fromkeys(v.case.stage for v in vectors):
        text = document(stage, vectors)
        lines = ",\n".join(
            json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in text.pop("vectors")
        )
        head = json.dumps(text, ensure_ascii=False)[:-1]
        (folder / f"{stage}.json").write_text(f'{head}, "vectors": [\n{lines}\n]}}\n', encoding="utf-8")
        found[f"{stage}.json"] = lines.count("\n") + 1
    return found
