"""The certified statement: at small sizes every value and every cotangent lies within its stated budget of
its enclosure.

The measure is one ratio: the distance to the farthest point of the enclosure over eps · bound. The bounds are
those of `s5ref.verification.bounds` and `discretization_bounds`, of ``certify_limits.py`` beside this file
for what is no kernel, and composite budgets for SSMs, layers and models. Enclosures and budgets are shared by
all engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.verification.budget import THRESHOLD, UNIT, cast, composite_budget
from s5ref.verification.oracles.balls import Balls, ratio
from s5ref.verification.oracles.certify_exact import exact_rows
from s5ref.verification.oracles.certify_layers import Composite
from s5ref.verification.oracles.certify_models import composites
from s5ref.verification.oracles.certify_ops import FIELDS, RUNS, bounds_of
from s5ref.verification.oracles.certify_trials import Trial, trials
from s5ref.verification.oracles.stages import enclosures
from s5ref.verification.problems import BASE, PROBLEMS, problem
from s5ref.verification.report import Row, Worst

GROUP = "certified"
SEEDS = range(6)
SIZES: dict[
    str, tuple[dict[str, Any], dict[str, Any]]
] = {  # what is other than in `s5ref.verification.problems`
    "small": ({"d_model": 3, "ssm_size": 4, "blocks": 1, "in_dim": 2, "n_classes": 2}, {"n": 2, "length": 4}),
    "base": ({}, {}),
}


def certify(
    engine: Engine, dtype: str, size: str = "small", groups: Iterable[str] | None = None
) -> Iterator[Row]:
    """A row per operation and kind of quantity (values, cotangents), of one engine in one precision.

    Operations that are no kernel are the same for every engine and are certified with SEQUENTIAL only.
    ``size`` is that of the models (SIZES); ``groups`` of `s5ref.verification.problems.PROBLEMS` restricts
    them, [] leaves them out. Raises S5Error without python-flint.
    """
    if size not in SIZES:
        raise S5Error(f"certify: size must be one of {', '.join(SIZES)}; got {size!r}.", 'Use size="small".')
    yield from certify_operations(engine, dtype)
    yield from certify_models(engine, dtype, size, groups)
    yield from exact_rows(engine, dtype)


def certify_operations(engine: Engine, dtype: str) -> Iterator[Row]:
    """Every single operation."""
    found = _Rows(engine, dtype)
    for trial in trials():
        if trial.stage not in FIELDS and engine is not SEQUENTIAL:
            continue
        if trial.stage == "gelu_erf" and np.dtype(dtype).itemsize > 8:
            continue
        inputs, cotangent = cast(trial.inputs, dtype), cast(trial.cotangent, dtype)
        want = _trial_enclosures(trial.stage, trial.name, dtype)
        bounds = bounds_of(trial.stage, cast(inputs, np.float64), cast(cotangent, np.float64))
        got = RUNS[trial.stage](engine, inputs, cotangent)
        eps = float(np.finfo(dtype).eps)
        found.compare(trial.stage, trial.name, got, want, bounds, eps)
    yield from found.rows()


def certify_models(
    engine: Engine, dtype: str, size: str = "small", groups: Iterable[str] | None = None
) -> Iterator[Row]:
    """SSM, step, mix, layer and model of every problem."""
    found = _Rows(engine, dtype)
    for group in PROBLEMS if groups is None else groups:
        for name in PROBLEMS[group]:
            if "erf" in name and np.dtype(dtype).itemsize > 8:
                continue
            for i, composite in enumerate(_composites(group, name, dtype, size)):
                want, budget = _judged(group, name, dtype, size, i)
                found.compare(composite.stage, f"{group}: {name}", composite.run(engine), want, budget, 1.0)
    yield from found.rows()


class _Rows:
    """The worst ratio of every stage and kind of quantity."""

    def __init__(self, engine: Engine, dtype: str) -> None:
        self.engine, self.dtype = engine, dtype
        self.worst: dict[tuple[str, str], Worst] = {}

    def compare(
        self,
        stage: str,
        name: str,
        got: Mapping[str, Any],
        want: Mapping[str, Balls],
        bounds: Mapping[str, Any],
        eps: float,
    ) -> None:
        for leaf in {**want, **got}:
            value = (
                ratio(got[leaf], want[leaf], bounds.get(leaf, 0.0), eps)
                if leaf in got and leaf in want
                else float("inf")
            )
            if leaf in got and np.asarray(got[leaf]).real.dtype != np.dtype(self.dtype):
                value = float("inf")
            kind = "cotangents" if leaf.startswith("d.") else "values"
            self.worst.setdefault((stage, kind), Worst()).see(value, f"{leaf} at {name}")

    def rows(self) -> Iterator[Row]:
        for (stage, kind), worst in self.worst.items():
            yield worst.row(GROUP, f"{stage}: {kind}", self.engine.name, self.dtype, THRESHOLD)


@cache
def _trial_enclosures(stage: str, name: str, dtype: str) -> dict[str, Balls]:
    trial: Trial = next(trial for trial in trials() if (trial.stage, trial.name) == (stage, name))
    found: dict[str, Balls] = enclosures(stage, cast(trial.inputs, dtype), cast(trial.cotangent, dtype))
    return found


@cache
def _composites(group: str, name: str, dtype: str, size: str) -> list[Composite]:
    config, shape = SIZES[size]
    model, more = PROBLEMS[group][name]
    at = problem(group, name, replace(BASE, **{**model, **config}), **{**shape, **more})
    found: list[Composite] = composites(at, dtype)
    return found


@cache
def _judged(group: str, name: str, dtype: str, size: str, i: int) -> tuple[dict[str, Balls], dict[str, Any]]:
    """(enclosures, budgets) of a composite. One rounding of the exact value is always granted: no float may
    be nearer."""
    composite = _composites(group, name, dtype, size)[i]
    want = enclosures(composite.stage, composite.inputs, composite.cotangent)
    reference, deviations = composite_budget(composite.budget_of, SEQUENTIAL, SEEDS, composite.terms)
    eps = float(np.finfo(dtype).eps)
    budget: dict[str, Any] = {
        leaf: np.maximum(d, UNIT * eps * np.abs(reference[leaf])) for leaf, d in deviations.items()
    }
    return want, budget | {leaf: eps * bound for leaf, bound in composite.bounds.items()}
