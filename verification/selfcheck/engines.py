"""Engines against SEQUENTIAL: every kernel field, and whole models forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.tree import leaves
from s5ref.verification.report import WorstByEngine
from s5ref.verification.rounding.budget import cast, composite_budget, ratio
from s5ref.verification.rounding.operation_bounds import softmax_and_loss
from s5ref.verification.selfcheck.fields import cases, field_ratios, judged
from s5ref.verification.selfcheck.problems import BASE, Problem, problem

SEEDS = range(4)


def worst_of_field(field: str, dtype: str, engines: Sequence[Engine]) -> WorstByEngine:
    """{engine: the largest ratio over the cases and leaves of a field}."""
    worst = WorstByEngine(engines)
    for case in cases(field):
        reference = judged(case, dtype)
        worst.see({k.name: field_ratios(k, reference) for k in engines}, f"at {case.name}")
    return worst


def model_ratios(at: Problem, dtype: str, engines: Sequence[Engine]) -> dict[str, dict[str, float]]:
    """{engine: {leaf: ratio to its composite budget}} of loss, output, states, statistics and every
    gradient."""
    run = partial(at.loss_and_grad, cast(at.leaves(), dtype))
    want, budget = model_budget(at, dtype)

    def ratio_of(path: str, got: Any) -> float:
        agree = np.asarray(got).dtype == want[path].dtype
        return ratio(got, want[path], budget[path], 1.0) if agree else float("inf")

    outcomes = {engine.name: dict(leaves(run(engine))) for engine in engines}
    return {name: {path: ratio_of(path, got[path]) for path in want} for name, got in outcomes.items()}


def model_budget(at: Problem, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`composite_budget` of a problem's loss and gradients, and what log-softmax and cross-entropy round."""
    run = partial(at.loss_and_grad, cast(at.leaves(), dtype))
    want, budget = composite_budget(run, SEQUENTIAL, SEEDS, at.terms)
    if at.model.head.classifies:
        eps = np.finfo(dtype).eps
        for name, bound in softmax_and_loss(want["output"], at.batch.targets).items():
            budget[name] = budget[name] + eps * bound
    return want, budget


def long_problem() -> Problem:
    """Long enough that every engine cuts it into its blocks, tiles and chunks of time."""
    config = replace(
        BASE, d_model=24, ssm_size=16, norm="layer", bidirectional=True, dt_min=0.001, dt_max=0.1
    )
    return problem("long", "two sequences of 600 steps", config, n=2, length=600)
