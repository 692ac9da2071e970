"""Engines against SEQUENTIAL: every kernel field, and whole models forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.tree import leaves
from s5ref.verification.report import WorstByEngine
from s5ref.verification.rounding.budget import cast, composite_budget, ratio
from s5ref.verification.rounding.operation_bounds import likelihood_and_loss, mse, softmax_and_loss
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
    """`whole_budget` of a problem's loss and gradients."""
    return whole_budget(at, partial(at.loss_and_grad, cast(at.leaves(), dtype)))


def whole_budget(at: Problem, run: Callable[[Engine], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`composite_budget` of a run of the problem's whole model, and what the loss rounds."""
    want, budget = composite_budget(run, SEQUENTIAL, SEEDS, at.terms)
    for name, bound in _of_the_loss(at, want).items():
        budget[name] = budget[name] + np.finfo(want["loss"].dtype).eps * bound
    return want, budget


def _of_the_loss(at: Problem, want: dict[str, Any]) -> dict[str, Any]:
    """What log-softmax, cross-entropy and the mean squared error round: they are no kernels, which perturbed
    runs round.
    """
    targets = at.batch.targets
    if "loss" not in want or targets is None:
        return {}
    if at.model.head.classifies:
        return dict(softmax_and_loss(want["output"], targets))
    lengths = at.batch.lengths if at.model.head.stepwise and at.model.config.padding == "masked" else None
    if at.model.head.numbers == 2:
        return dict(likelihood_and_loss(want["output"], targets, lengths))
    if want["output"].shape != targets.shape:  # of rows that are cut to their lengths
        return {}
    y, target = (x.reshape(len(x), -1, x.shape[-1]).astype(np.float64) for x in (want["output"], targets))
    return {"loss": mse(y, target, lengths, {"loss": np.ones(())})["loss"]}


def long_problem() -> Problem:
    """Long enough that every engine cuts it into its blocks, tiles and chunks of time."""
    config = replace(
        BASE, d_model=24, ssm_size=16, norm="layer", bidirectional=True, dt_min=0.001, dt_max=0.1
    )
    return problem("long", "two sequences of 600 steps", config, n=2, length=600)
