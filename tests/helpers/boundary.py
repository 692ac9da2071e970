"""One small problem of every kind, and ways to spoil it, for the tests of the public boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref import NUMPY, Call
from s5ref.tree import subtree
from s5ref.verification.selfcheck.problems import BASE, Problem, problem

AT = problem("errors", "classifier", replace(BASE, norm="layer"))
REGRESSION = problem("errors", "regression", replace(BASE, head="regression"))
POOLED = problem("errors", "pooled", replace(BASE, head="pooled_regression", pooling="max"))
TOKENS = problem("errors", "tokens", BASE, tokens=True)
RETRIEVAL = problem("errors", "retrieval", replace(BASE, head="retrieval"))
CALL = Call(NUMPY)
X, Y = AT.batch.inputs, AT.batch.targets
N, L, I = X.shape
assert Y is not None
SEQ = subtree(AT.params, "layers_0.seq")
LAMBDA = np.array([-0.5 + 1j, -0.5 + 2j])
BU = np.ones((2, 4, 2), complex)


def run(at: Problem = AT, **changes: Any) -> Any:
    call = changes.pop("call", CALL)
    states = changes.pop("states", None)
    call = replace(call, initial_state=states)
    return at.model.value_and_grad(at.params, at.statistics, at.batch._replace(**changes), call)


def nan_at(x: Any, value: float) -> Any:
    x = x.copy()
    x[(0,) * x.ndim] = value
    return x


def config(**changes: Any) -> Callable[[], Any]:
    return lambda: replace(BASE, **changes)


def with_leaf(name: str, leaf: Any) -> Any:
    params = {key: value for key, value in AT.params.items() if key != name}
    params = params if leaf is None else params | {name: leaf}
    return AT.model.forward(params, AT.statistics, AT.batch, engine=NUMPY)
