"""The gradient of whole models against directional derivatives: by every leaf alone, so that no severed
gradient hides, and jointly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.verification.selfcheck.gradcheck import along, derivative, inner, relative
from s5ref.verification.selfcheck.problems import Problem

LIMIT = 1e-7  # relative; differences in longdouble are good to about 1e-12
JOINT_DIRECTIONS = 2


def gradient_errors(problem: Problem, engines: Sequence[Engine]) -> dict[str, dict[str, float]]:
    """{engine: {leaf, or "joint 0" …: relative error}} in float64.

    The numbers come from SEQUENTIAL, in longdouble where the operations allow it. A leaf whose gradient and
    numbers are both 0 is an error of 1: nothing was tested.
    """
    leaves = problem.leaves()
    wider = bool(np.finfo(np.longdouble).eps < np.finfo(np.float64).eps)
    wide = wider and problem.model.config.gelu != "erf"
    grads = {engine.name: problem.loss_and_grad(leaves, engine)["grads"] for engine in engines}
    reference = grads[engines[0].name]
    errors: dict[str, dict[str, float]] = {engine.name: {} for engine in engines}
    parts = {name: {name: reference[name]} for name in leaves}
    parts |= {f"joint {i}": {name: reference[name] for name in leaves} for i in range(JOINT_DIRECTIONS)}
    for label, part in parts.items():
        direction = along(part, problem.group, problem.name, label)
        number = derivative(lambda at: problem.loss(at, SEQUENTIAL), leaves, direction, wide)
        for name, grad in grads.items():
            got = inner(grad, direction)
            errors[name][label] = relative(got, number) if number != 0 or got != 0 else 1.0
    return errors
