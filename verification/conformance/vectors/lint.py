"""``python -P -m s5ref.verification.conformance.vectors.lint [DIR]``: everything that must hold of the stored
vectors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.mutants import NUMERIC
from s5ref.verification.conformance.stages import STAGES
from s5ref.verification.conformance.vectors.store import FOLDER, MANIFEST, load
from s5ref.verification.conformance.vectors.vector import Vector

LARGEST = 10_000_000  # bytes of the whole set
BITS = 24  # of every input, so that both precisions hold it exactly


def violations(value: Any, name: str) -> Iterator[str]:
    """Where ``value`` is not as the schema ``manifest`` or ``exchange`` says, and how. Needs jsonschema."""
    from jsonschema import Draft202012Validator

    rules = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    for error in Draft202012Validator(rules).iter_errors(value):
        yield f"{error.json_path}: {error.message}"


def problems(folder: Path = FOLDER) -> Iterator[str]:
    """What is wrong, one line each; S5Error where a file is damaged."""
    yield from violations(json.loads((folder / MANIFEST).read_text(encoding="utf-8")), "manifest")
    size = sum(path.stat().st_size for path in [folder / MANIFEST, *folder.glob("*.npz")])
    if size > LARGEST:
        yield f"the set has {size} bytes, more than {LARGEST}"
    vectors = load(folder=folder)
    yield from _together(vectors)
    for v in vectors:
        yield from (f"{v.id}: {what}" for what in _one(v))


def _together(vectors: Sequence[Vector]) -> Iterator[str]:
    ids = [v.id for v in vectors]
    yield from (f"{id_} occurs twice" for id_ in sorted({id_ for id_ in ids if ids.count(id_) > 1}))
    caught = {id_ for v in vectors for id_ in v.case.catches}
    known = {mutant.id for mutant in NUMERIC}
    yield from (f"no vector catches {id_}" for id_ in sorted(known - caught))
    for id_ in sorted(caught - known):
        yield f"{id_} is caught by vectors, but is no mutant that changes a number"
    yield from (
        f"stage {name} has no vector" for name in STAGES if name not in {v.case.stage for v in vectors}
    )


def _one(v: Vector) -> Iterator[str]:
    if not v.want:
        yield "it asks for nothing"
    if not set(v.want) == set(v.bounds) == set(v.radius):
        yield "outputs, bounds and radii have different names"
        return
    for name, x in v.arrays.items():
        if name.startswith(("in/", "d/")) and not _dyadic(x):
            yield f"{name} is not exact in single precision"
    for name, x in v.want.items():
        if not np.isfinite(x).all():
            yield f"{name} is not finite"
        bound = v.bounds[name]
        if bound.shape not in ((), x.shape) or not np.isfinite(bound).all() or (bound < 0).any():
            yield f"the bound of {name} must be one number ≥ 0 or an array like it"
        elif v.radius[name] > 2 * np.finfo(np.float64).eps * max(np.max(np.abs(x), initial=0.0), 1e-300):
            yield f"the radius of {name} is more than the rounding of its largest element"


def _dyadic(x: Array) -> bool:
    if x.dtype.kind not in "fc":
        return True
    parts = np.stack([x.real, x.imag]).astype(np.float64)
    mantissa, _ = np.frexp(parts)
    scaled = mantissa * 2.0**BITS
    return bool(np.isfinite(parts).all() and (scaled == np.round(scaled)).all())


def main(argv: list[str]) -> int:
    """Print what is wrong; 0 if nothing is."""
    lines = list(problems(Path(argv[0]) if argv else FOLDER))
    for line in lines:
        print(line)
    print(f"{len(lines)} problems" if lines else "nothing is wrong")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
