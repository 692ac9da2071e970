"""The exact answers to a case: enclosures by ball arithmetic, rounded once, with their radius."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.optim.adamw import B1, B2, EPS
from s5ref.verification.conformance.protocol import moving, outputs_of
from s5ref.verification.conformance.stages.audit import eigenvalues, expected
from s5ref.verification.conformance.stages.forms import statistics
from s5ref.verification.conformance.stages.reference import Update, updated, with_head
from s5ref.verification.conformance.stages.stage import Case
from s5ref.verification.proofs.oracles import ssm as ssm_balls
from s5ref.verification.proofs.oracles.balls import Balls, balls, enclose, rounded
from s5ref.verification.proofs.oracles.elementary import constant, sqrt
from s5ref.verification.proofs.oracles.stages import oracle

Answers = dict[str, tuple[Array, Array]]  # output: (midpoint rounded once to float64 or complex128, radius)


def enclosed(case: Case) -> Answers:
    """{output or cotangent: (midpoint, upper bound of |midpoint − exact|)}. Needs python-flint."""
    if case.stage == "init":
        return _init(case)
    if case.stage == "update":
        return _update(case)
    stage, inputs, ours = _question(case)
    theirs = {name: leaf for leaf, name in ours.items()}
    cotangent = {theirs.get(name, name): d for name, d in case.cotangent.items()} or None
    answers: Answers = {}
    for leaf, (middle, radius) in oracle(stage, inputs, cotangent).items():
        first, _, rest = leaf.partition(".")
        if first == "d" and rest in moving(case.stage, case.inputs):
            answers[f"d{rest}"] = middle, radius
        elif (name := ours.get(first, first)) in outputs_of(case.stage, case.options):
            answers[name + leaf.removeprefix(first)] = middle, radius
    if "segments" in case.inputs and "dx" in answers:
        ids = case.inputs["segments"]
        answers["dx"] = _rows(answers["dx"][0], ids), _rows(answers["dx"][1], ids)
    if (case.stage, stage) == ("step", "model"):
        answers["y"] = answers["y"][0][:, 0], answers["y"][1][:, 0]
    return answers


def _question(case: Case) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The oracle's stage, its inputs, and {its output: our name of it} where they differ."""
    i = {**case.inputs, **case.options}
    kind = i.pop("of", "")
    i.pop("final_state", None)  # the oracle always has it
    if case.stage in ("layer", "model") or kind == "model":
        params, options = with_head(i["params"], i)
        i = {**options, "params": params}
        given = statistics(i["params"])
        i |= {"params": {n: leaf for n, leaf in i["params"].items() if n not in given}, "statistics": given}
    if "segments" in i:  # packed rows are their sequences one by one, with masked padding behind each
        ids = i.pop("segments")
        i |= {"x": _one_by_one(i["x"], ids), "lengths": np.bincount(ids[ids >= 0]), "padding": "masked"}
    if kind == "model":  # a step of a stack of layers is a sequence of one step from its states
        i |= {"x": i.pop("u_k")[:, None], "states": list(i.pop("state")), "head": "regression"}
        return "model", i | {"train": False}, {"output": "y", "states": "state"}
    if kind == "ssm":
        i["u"] = i.pop("u_k")
    return case.stage, i, {"output": "log_probabilities"}


def _one_by_one(x: Array, ids: Array) -> Array:
    """The sequences of packed rows (N, L, …), one a row: (S, L, …), zeros behind each."""
    sequences = np.zeros((ids.max() + 1, *x.shape[1:]), x.dtype)
    for s, row in enumerate(sequences):
        row[: (ids == s).sum()] = x[ids == s]
    return sequences


def _rows(sequences: Array, ids: Array) -> Array:
    """The inverse of `_one_by_one`; zeros at padding."""
    x = np.zeros((*ids.shape, *sequences.shape[2:]), sequences.dtype)
    for s, row in enumerate(sequences):
        x[ids == s] = row[: (ids == s).sum()]
    return x


def _init(case: Case) -> Answers:
    o = case.options
    answers: Answers = {  # quotients of whole numbers, rounded once
        name: (np.asarray(mean), np.asarray(math.ulp(mean) / 2 if mean else 0.0))
        for name, (mean, _) in expected(o).items()
    }
    block = o["ssm_size"] // o["blocks"]
    kept = block // 2 if o.get("conj_sym", True) else block
    Lambda, radius = rounded(ssm_balls.hippo_eigenvalues(block)[:kept], True)
    enclosure = np.repeat(Lambda, o["blocks"]), np.repeat(radius, o["blocks"])
    return answers | dict.fromkeys(eigenvalues(o), enclosure)


def _update(case: Case) -> Answers:
    """AdamW in exact rationals but for the square root; β₁, β₂ and ε are the floats as they are stored."""
    params, grads, (first, second), t, groups, rates = Update.of(case.inputs, case.options)
    b1, b2 = Fraction(B1), Fraction(B2)
    middle, radius = ({kind: dict[str, Array]() for kind in ("params", "first", "second")} for _ in range(2))
    for name in params:
        rate, decay = rates[groups[name].rate], groups[name].weight_decay

        def one(name: str = name, rate: float = rate, decay: float = decay) -> Mapping[str, Balls]:
            p, g, m, v = (balls(a[name]) for a in (params, grads, first, second))
            m = m * constant(b1) + g * constant(1 - b1)
            v = v * constant(b2) + g * g * constant(1 - b2)
            root = sqrt(v / constant(1 - b2**t)) + constant(EPS)
            new = p - (m / constant(1 - b1**t) / root + p * constant(decay)) * constant(rate)
            return {"params": new, "first": m, "second": v}

        for kind, z in enclose(one).items():
            middle[kind][name], radius[kind][name] = rounded(z, False)
    radii = updated(**radius)
    return {name: (value, np.abs(radii[name])) for name, value in updated(**middle).items()}
