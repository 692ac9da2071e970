"""Where inside a composite stage a candidate goes wrong: the same case again with parts made trivial.

A part that is wrong in whatever way gives the right numbers once its parameters leave it nothing to do: C = 0
leaves D ∘ u of an SSM, a norm of scale 0 gives its bias, gate weights of 0 give σ = ½.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.verification.conformance.kit.compare import Measured, judged, measured
from s5ref.verification.conformance.stages import Case

Put = Callable[[Case], dict[str, Any] | None]


def place_of(case: Case, worst: Measured | None, put: Put) -> str:
    """The part of the pipeline, or "" where nothing can be said. Only values are looked at."""
    if worst is None or worst.cotangent or worst.fault:
        return ""
    looks = {"ssm": _in_ssm, "layer": _in_layer, "model": _in_model}
    return looks[case.stage](case, put) if case.stage in looks else ""


def _in_ssm(case: Case, put: Put) -> str:
    if not _right(_with(case, {"C": 0, "C1": 0, "C2": 0}), put):
        return "C/D"
    first = {name: case.inputs[name][:, :1] for name in ("u", "intervals", "resets") if name in case.inputs}
    start = _without(case, "x0")
    return "scan" if _right(replace(start, inputs={**start.inputs, **first}), put) else "Bu"


def _in_layer(case: Case, put: Put) -> str:
    if _right(_with(case, {"norm.scale": 0}), put):
        return "norm"
    if _right(_with(case, {"C": 0, "C1": 0, "C2": 0, "D": 1}), put):
        return "ssm"
    gates = {f"out{i}.{leaf}": 0 for i in (1, 2) for leaf in ("kernel", "bias")}
    return "gate" if _right(_with(case, {"norm.scale": 0, **gates}), put) else "activation"


def _in_model(case: Case, put: Put) -> str:
    """With C = D = 0 a layer before which the norm stands is x + mix(0) = x."""
    bare = _with(case, {"C": 0, "C1": 0, "C2": 0, "D": 0})
    if _right(bare, put):
        return "layer"
    where = next((name for name in ("lengths", "segments") if name in case.inputs), None)
    return "pool" if where and _right(_without(bare, where), put) else "head"


def _without(case: Case, name: str) -> Case:
    return replace(case, inputs={other: x for other, x in case.inputs.items() if other != name})


def _with(case: Case, changes: Mapping[str, float]) -> Case:
    """The case with these parameters constant, in every layer."""
    params = dict(case.inputs["params"])
    for name, leaf in params.items():
        for end, value in changes.items():
            if f".{name}".endswith(f".{end}"):
                params[name] = np.full_like(leaf, value)
    return replace(case, inputs={**case.inputs, "params": params})


def _right(case: Case, put: Put) -> bool:
    case = replace(case, seed=f"{case.seed} probed", cotangent={})
    got = put(case)
    if got is None:
        return False
    reference = judged(case, keep=False)
    names = [name for name in reference.want if not name.startswith("statistics.")]
    return all(m.rounding for m in measured(got, reference, case, names))
