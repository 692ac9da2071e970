"""Engines against the stored vectors: certified answers without python-flint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from s5ref.engine import Engine
from s5ref.verification.budget import THRESHOLD
from s5ref.verification.mutants.naming import agreement
from s5ref.verification.report import Row, Worst
from s5ref.verification.stages import STAGES, computed
from s5ref.verification.vectors import load


def stored(engines: Sequence[Engine]) -> Iterator[Row]:
    """A row per stage and engine: the worst ratio over every output and cotangent of every vector."""
    vectors = load()
    for stage in STAGES:
        for engine in engines:
            worst = Worst()
            for v in vectors:
                if v.case.stage != stage:
                    continue
                with np.errstate(all="ignore"):  # vectors go to the edges on purpose
                    got = computed(v.case, engine)
                for name, want in v.want.items():
                    worst.see(agreement(got[name], want, v.bounds[name], v.eps), f"{v.id}/{name}")
            yield worst.row("vectors", stage, engine.name, "both", THRESHOLD)
