"""``python -P -m s5ref.verification.conformance.vectors.generate [DIR]``: make the stored vectors, the same
bytes every time.

Inputs are dyadic rationals from raw Philox words, answers are enclosures rounded once, bounds are rounded up
to a few bits, so that no float of this machine shows. Needs python-flint.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from s5ref.files import write_atomically
from s5ref.verification.conformance.stages import Case, bounds_of, cases
from s5ref.verification.conformance.vectors.oracle import enclosed
from s5ref.verification.conformance.vectors.store import FOLDER, written
from s5ref.verification.conformance.vectors.vector import Vector

ORACLES = {"init": "closed form; eigenvalues by ball arithmetic", "update": "ball arithmetic"}
BALLS = "ball arithmetic; derivatives by dual numbers"


def generated(chosen: Iterable[Case] | None = None) -> Iterator[Vector]:
    """The vectors of these cases, all if None. The precisions of a case share one enclosure."""
    for _, group in groupby(cases() if chosen is None else chosen, key=lambda case: case.numbers):
        first, *others = group
        answers, bounds = enclosed(first), bounds_of(first)
        want = {name: middle for name, (middle, _) in answers.items()}
        radius = {name: float(np.max(r, initial=0.0)) for name, (_, r) in answers.items()}
        for case in (first, *others):
            yield Vector(case, want, radius, {n: bounds[n] for n in want}, ORACLES.get(case.stage, BALLS))


def main(argv: list[str]) -> int:
    """Write all files; print what they are."""
    folder = Path(argv[0]) if argv else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    vectors = list(generated())
    files = written(vectors)
    for name, data in files.items():
        write_atomically(folder / name, data)
    answers = sum(len(v.want) for v in vectors)
    size = sum(map(len, files.values()))
    print(
        f"{len(vectors)} vectors with {answers} outputs in {len(files)} files, {size / 1e6:.2f} MB: {folder}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
