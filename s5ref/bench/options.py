"""What leaving the recipe costs: the model of a recipe with one option changed, beside the recipe itself.

Both are on the NUMBA engine and in one process, and take turns: a ratio says more than the seconds do where
other work runs on the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from s5ref.bench.case import Case, recipe_case
from s5ref.bench.models import benchmark
from s5ref.bench.race import Repetitions
from s5ref.bench.run import describe
from s5ref.cpu import NUMBA
from s5ref.cpu.parallel import threads
from s5ref.model.model import Model

NORMAL, QUICK = Repetitions(7, 25, 6.0), Repetitions(1, 1, 0.0)
WHATS = ("train_step", "forward")


class Change(NamedTuple):
    """What an option changes: fields of the model's configuration, the dtype, the batch of the case."""

    model: dict[str, Any] = {}  # noqa: RUF012 (nobody writes to it)
    dtype: str = "float32"
    batch: dict[str, Any] = {}  # noqa: RUF012


TWO, MASKED = {"bidirectional": True}, {"padding": "masked"}
OPTIONS = {
    "erf GELU": Change({"gelu": "erf"}),
    "gelu alone": Change({"activation": "gelu"}),
    "full GLU": Change({"activation": "full_glu"}),
    "LayerNorm": Change({"norm": "layer"}),
    "postnorm": Change({"prenorm": False}),
    "postnorm, LayerNorm": Change({"prenorm": False, "norm": "layer"}),
    "masked padding": Change(MASKED, batch={"padded": True}),
    "packed": Change(MASKED, batch={"packed": True}),
    "two directions": Change(TWO),
    "two directions, masked padding": Change(TWO | MASKED, batch={"padded": True}),
    "all states kept": Change({"conj_sym": False}),
    "float64": Change(dtype="float64"),
    "irregular": Change(batch={"irregular": True}),
    "irregular, bilinear": Change({"discretization": "bilinear"}, batch={"irregular": True}),
    "irregular, dirac": Change({"discretization": "dirac"}, batch={"irregular": True}),
    "irregular, two directions": Change(TWO, batch={"irregular": True}),
}


@dataclass(frozen=True)
class OptionRow:
    """Medians of ``repeats`` turns in seconds; ratio = seconds / recipe_s; the layers' ``implementation``."""

    option: str
    what: str
    implementation: str
    seconds: float
    recipe_s: float
    ratio: float
    repeats: int


@dataclass(frozen=True)
class Results:
    """machine: what it was measured on; case, batch, length: the recipe, and the shape of its inputs."""

    machine: dict[str, Any]
    case: str
    batch: int
    length: int
    rows: list[OptionRow]


def bench(case: str | None = None, quick: bool = False, report: Callable[[str], None] = print) -> Results:
    """Time every option beside the recipe ``case`` (default: smnist), a train step and a forward pass each.

    Parameters
    ----------
    case : str or None
        A recipe.
    quick : bool
        One repetition of a small batch: a check, not a measurement.
    report : function
        Is given a line before each measurement.

    Returns
    -------
    Results

    Raises
    ------
    S5Error
        On a name that is no recipe, or one that cannot run.
    """
    recipe = recipe_case(case or "smnist", quick)
    machine = describe("numba", [], quick) | {"threads": threads()}
    rows = []
    for option, change in OPTIONS.items():
        report(f"{recipe.name}: {option}")
        changed = apply(recipe, change)
        rows += [beside(recipe, changed, option, what, QUICK if quick else NORMAL) for what in WHATS]
    return Results(machine, recipe.name, recipe.batch, recipe.length, rows)


def apply(recipe: Case, change: Change) -> Case:
    """The case with one option changed."""
    config = recipe.config
    train, model = replace(config.train, dtype=change.dtype), replace(config.model, **change.model)
    return replace(recipe, config=replace(config, train=train, model=model), **change.batch)


def beside(recipe: Case, changed: Case, option: str, what: str, repetitions: Repetitions) -> OptionRow:
    """Both in turn, after one repetition that is not counted."""
    runs = [benchmark(NUMBA, case, what).once for case in (changed, recipe)]
    times: list[list[float]] = [[], []]
    for once in runs:
        once()
    began = time.monotonic()
    for done in range(repetitions.most):
        if done >= repetitions.least and time.monotonic() - began > repetitions.seconds:
            break
        for once, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            once()
            taken.append(time.perf_counter() - start)
    seconds, recipe_s = map(statistics.median, times)
    return OptionRow(
        option, what, implementation(changed), seconds, recipe_s, seconds / recipe_s, len(times[0])
    )


def implementation(case: Case) -> str:
    """Which one the layers have: fused or composed."""
    return Model(case.model).plan(NUMBA, case.config.train.dtype, case.irregular).implementation
