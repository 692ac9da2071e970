"""The exact answers to a case: enclosures by ball arithmetic, rounded once, with their radius."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.optim.adamw import B1, B2, EPS
from s5ref.tree import prefixed
from s5ref.verification.conformance.stages.audit import expected
from s5ref.verification.conformance.stages.forms import is_statistic, joined
from s5ref.verification.conformance.stages.reference import Update
from s5ref.verification.conformance.stages.stage import Case
from s5ref.verification.proofs.oracles import ssm as ssm_balls
from s5ref.verification.proofs.oracles.balls import Balls, balls, enclose, rounded
from s5ref.verification.proofs.oracles.elementary import constant, sqrt
from s5ref.verification.proofs.oracles.stages import oracle

Answers = dict[str, tuple[Array, Array]]  # output: (midpoint rounded once to float64 or complex128, radius)

RENAMED = {"output": "log_probabilities"}  # of the oracle's outputs


def enclosed(case: Case) -> Answers:
    """{output or cotangent: (midpoint, upper bound of |midpoint − exact|)}. Needs python-flint."""
    if case.stage == "init":
        return _init(case)
    if case.stage == "update":
        return _update(case)
    inputs, names = _arguments(case)
    back = {old: new for new, old in RENAMED.items()}
    cotangent = {back.get(name, name): d for name, d in case.cotangent.items()} or None
    stage = "model" if case.options.get("of") == "model" else case.stage
    found = oracle(stage, inputs, cotangent)
    answers = {names(name): answer for name, answer in found.items() if names(name)}
    if case.options.get("of") == "model":
        answers["y"] = (answers["y"][0][:, 0], answers["y"][1][:, 0])
    return answers


def _arguments(case: Case) -> tuple[dict[str, Any], Any]:
    """The oracle's inputs, and the stage's name ("" where it has none) of each of its leaves."""
    i, o = dict(case.inputs), dict(case.options)
    wanted = {
        "discretize": ("Lambda_bar", "gain"),
        "scan": ("x", "x_last"),
        "ssm": ("y",),
        "step": ("state", "y"),
        "layer": ("y", "statistics"),
        "model": ("output",),
    }[case.stage]
    if o.pop("of", "") == "model":
        return _one_step(i, o)
    if case.stage == "step":
        i["u"] = i.pop("u_k")
    if case.stage in ("layer", "model"):
        i["statistics"] = {n: leaf for n, leaf in i["params"].items() if is_statistic(n)}
        i["params"] = {n: leaf for n, leaf in i["params"].items() if not is_statistic(n)}

    def named(leaf: str) -> str:
        if leaf.startswith("d."):
            given = leaf[2:].split(".")[0]
            return (
                f"d{leaf[2:]}"
                if given in ("Lambda", "Delta", "Lambda_bar", "Bu", "x0", "params", "u", "x")
                else ""
            )
        first = leaf.split(".")[0]
        return RENAMED.get(leaf, leaf) if first in wanted else ""

    return i | o, named


def _one_step(i: dict[str, Any], o: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """A step of a stack of layers is a sequence of one step from its states."""
    params = {n: leaf for n, leaf in i["params"].items() if not is_statistic(n)}
    given = {n: leaf for n, leaf in i["params"].items() if is_statistic(n)}
    inputs = {"params": params, "statistics": given, "x": i["u_k"][:, None], "states": list(i["state"])}

    def named(leaf: str) -> str:
        return {"output": "y"}.get(leaf, leaf.replace("states", "state") if leaf.startswith("states") else "")

    return inputs | o | {"head": "regression", "train": False}, named


def _init(case: Case) -> Answers:
    o = case.options
    found: Answers = {
        name: (np.asarray(mean), np.asarray(_half_ulp(mean))) for name, (mean, _) in expected(o).items()
    }
    block = o["ssm_size"] // o["blocks"]
    kept = block // 2 if o.get("conj_sym", True) else block
    Lambda, radius = rounded(ssm_balls.hippo_eigenvalues(block)[:kept], True)
    return found | {"Lambda": (np.tile(Lambda, o["blocks"]), np.tile(radius, o["blocks"]))}


def _half_ulp(x: float) -> float:
    """Of a quotient of whole numbers, rounded once."""
    return math.ulp(x) / 2 if x else 0.0


def _update(case: Case) -> Answers:
    """AdamW in exact rationals but for the square root; β₁, β₂ and ε are the floats that they are stored
    as."""
    params, grads, (first, second), t, groups, rates = Update.of(case.inputs, case.options)
    b1, b2 = Fraction(B1), Fraction(B2)
    found: dict[str, dict[str, tuple[Array, Array]]] = {
        "params": {},
        "moments.first": {},
        "moments.second": {},
    }
    for name, leaf in params.items():
        rate, decay = rates[groups[name].rate], groups[name].weight_decay

        def one(
            leaf: Array = leaf, name: str = name, rate: float = rate, decay: float = decay
        ) -> Mapping[str, Balls]:
            p, g, m, v = (balls(a[name]) for a in (params, grads, first, second))
            m = m * constant(b1) + g * constant(1 - b1)
            v = v * constant(b2) + g * g * constant(1 - b2)
            root = sqrt(v / constant(1 - b2**t)) + constant(EPS)
            new = p - (m / constant(1 - b1**t) / root + p * constant(decay)) * constant(rate)
            return {"params": new, "moments.first": m, "moments.second": v}

        for kind, z in enclose(one).items():
            found[kind][name] = rounded(z, False)
    answers: Answers = {}
    for kind, leaves in found.items():
        middle = joined({n: value for n, (value, _) in leaves.items()})
        radius = joined({n: r for n, (_, r) in leaves.items()})
        answers |= prefixed(kind, {n: (value, np.abs(radius[n])) for n, value in middle.items()})
    return answers
