"""Where inside a stage a candidate goes wrong: the same case again with parts left out or made trivial.

A part that is wrong in whatever way gives the right numbers once it has nothing to do: without resets, with
each example by itself, with C = 0, which leaves D ∘ u of an SSM, or with gate weights of 0, where σ = ½.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engines import SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.tree import leaves, map_leaves
from s5ref.verification.conformance.kit.compare import Measured, judged, measured, wanted
from s5ref.verification.conformance.kit.evidence import Put
from s5ref.verification.conformance.stages import Case

FAR_OFF = 2.0**-6  # of the largest number: no rounding, whatever the bound
SILENT = {"C": 0, "C1": 0, "C2": 0, "D": 0}  # an SSM that gives 0
THROUGH = {"C": 0, "C1": 0, "C2": 0, "D": 1}  # an SSM that gives u


def place_of(case: Case, worst: Measured | None, put: Put) -> str:
    """The part of the pipeline, or "" where nothing can be said. Only values are looked at."""
    if worst is None or worst.cotangent or worst.fault:
        return ""
    looks = {"scan": _in_scan, "ssm": _in_ssm, "layer": _in_layer, "model": _in_model}
    return looks[case.stage](case, put) if case.stage in looks else ""


def _in_scan(case: Case, put: Put) -> str:
    return _of_inputs(case, put) or "scan"


def _in_ssm(case: Case, put: Put) -> str:
    if place := _of_inputs(case, put) or _of_options(case, put):
        return place
    if "C2" in case.inputs["params"] and _right(_with(case, {"C2": 0}), put):
        return "backward direction"
    if not _right(_with(case, {"C": 0, "C1": 0, "C2": 0}), put):
        return "C/D"
    first = {name: case.inputs[name][:, :1] for name in ("u", "intervals", "resets") if name in case.inputs}
    start = _without(case, "x0")
    return "scan" if _right(replace(start, inputs={**start.inputs, **first}), put) else "Bu"


def _of_inputs(case: Case, put: Put) -> str:
    """What is right once inputs that few cases have are left out, or each example is asked by itself."""
    for place, names in (
        ("resets", ("resets", "reset_state")), ("initial state", ("x0",)), ("discretise", ("intervals",)),
    ):  # fmt: skip
        if names[0] in case.inputs and _right(_without(case, *names), put):
            return place
    return "batch" if _right_one_by_one(case, put) else ""


def _of_options(case: Case, put: Put) -> str:
    """What is right with Λ clipped beforehand, or where Δ and its rule are those of every other case."""
    if case.options.get("clip_eigs") and _right(_clipped(case), put):
        return "clip_eigs"
    plain = {name: value for name, value in (("step_rescale", 1.0), ("discretization", "zoh"))
             if case.options.get(name, value) != value}  # fmt: skip
    if plain and _right(replace(case, options={**case.options, **plain}), put):
        return "discretise"
    return ""


def _in_layer(case: Case, put: Put) -> str:
    """With an SSM of 0 and no bias in the gate a layer is its skip: x, or the norm of x behind it."""
    prenorm = case.options.get("prenorm", True)
    bare = _with(case, {**SILENT, "out1.bias": 0})
    if not _right(bare, put):
        return _skip_or_norm(bare, put, prenorm)
    if prenorm:  # without scale there is nothing to normalise; without bias nothing enters the SSM
        still, unfed = ({"norm.scale": 0}, {"norm.scale": 0, "norm.bias": 0})
        if _right(_with(case, still), put) or not _right(_with(case, unfed), put):
            return "norm"
    if "masks" in case.inputs and _right(_without(case, "masks"), put):
        return "dropout"
    if _right(_with(case, THROUGH), put):
        if "seq.C2" in case.inputs["params"] and _right(_with(case, {"C2": 0}), put):
            return "backward direction"
        return "batch" if _right_one_by_one(case, put) else "ssm"
    gates = {f"out{i}.{leaf}": 0 for i in (1, 2) for leaf in ("kernel", "bias")}
    return "gate" if _right(_with(case, {"norm.scale": 0, **gates}), put) else "activation"


def _skip_or_norm(bare: Case, put: Put, prenorm: bool) -> str:
    """A wrong skip is linear in x: twice as much for 2 x, and 0 where it is lacking. A norm is not.

    Behind a norm it is lacking where the output does not depend on x.
    """
    x = bare.inputs["x"]
    other = 2 * x if prenorm else np.roll(x, 1, axis=-1)
    answers = [put(_anew(replace(bare, inputs={**bare.inputs, "x": z}))) for z in (x, other)]
    if any(answer is None for answer in answers):
        return ""
    y, z = (np.asarray(answer["y"]) for answer in answers if answer is not None)
    return "skip" if y.shape == z.shape and _near(z, 2 * y if prenorm else y) else "norm"


def _in_model(case: Case, put: Put) -> str:
    """With SSMs of 0 a layer before which the norm stands is x + mix(0) = x."""
    bare = _with(case, SILENT)
    if _right(bare, put):
        return "batch" if _right_one_by_one(case, put) else "layer"
    if not _right(_with(case, {"decoder.kernel": 0, "layer1.kernel": 0, "layer2.kernel": 0}), put):
        return "head"
    nothing = {"encoder.kernel": 0, "encoder.bias": 0}
    answer = put(_anew(bare))
    if answer is not None and _near_all(answer, _wanted(_with(bare, nothing))):
        return "skip"
    if _right(_with(bare, {"norm.scale": 0}), put):
        return "norm"
    where = next((name for name in ("lengths", "segments") if name in case.inputs), None)
    if (where and _right(_without(bare, where), put)) or _right(_first_step(bare), put):
        return "pool"
    return "encoder" if _right(_with(bare, nothing), put) else "head"


def _first_step(case: Case) -> Case:
    """Sequences of one step, which every pooling leaves as they are."""
    start = _without(case, "lengths")
    axis = 2 if case.options.get("head") == "retrieval" else 1
    return replace(start, inputs={**start.inputs, "x": np.take(case.inputs["x"], [0], axis)})


def _without(case: Case, *names: str) -> Case:
    return replace(case, inputs={other: x for other, x in case.inputs.items() if other not in names})


def _with(case: Case, changes: Mapping[str, float]) -> Case:
    """The case with these parameters constant, in every layer."""
    params = dict(case.inputs["params"])
    for name, leaf in params.items():
        for end, value in changes.items():
            if f".{name}".endswith(f".{end}"):
                params[name] = np.full_like(leaf, value)
    return replace(case, inputs={**case.inputs, "params": params})


def _clipped(case: Case) -> Case:
    """The same numbers, given where there is nothing left to clip."""
    params = {
        name: np.minimum(leaf.real, -1e-4) + 1j * leaf.imag if f".{name}".endswith(".Lambda") else leaf
        for name, leaf in case.inputs["params"].items()
    }
    return replace(case, inputs={**case.inputs, "params": params}).cast(case.dtype)


def _right_one_by_one(case: Case, put: Put) -> bool:
    """Whether every example is right by itself; False where there is one only, or rows are packed."""
    arrays = {name: x for name, x in case.inputs.items() if name not in ("params", "reset_state")}
    if "Lambda_bar" in arrays and arrays["Lambda_bar"].ndim == 1:
        del arrays["Lambda_bar"]
    count = len(next(leaf for _, leaf in leaves(arrays)))
    if count == 1 or "segments" in arrays:
        return False

    def example(n: int) -> Case:
        return replace(case, inputs={**case.inputs, **map_leaves(lambda x: x[n : n + 1], arrays)})

    return all(_right(example(n), put) for n in range(count))


def _anew(case: Case) -> Case:
    """A question about values only, which nothing that is kept of the case answers."""
    return replace(case, seed=f"{case.seed} probed", cotangent={})


def _right(case: Case, put: Put) -> bool:
    """Whether the values are; statistics left out."""
    case = _anew(case)
    got = put(case)
    if got is None:
        return False
    try:
        values = {name: x for name, x in _wanted(case).items() if not name.startswith("statistics.")}
    except S5Error:  # a case that there is not, as one step where two are pooled
        return False
    if not _near_all(got, values):
        return False
    return all(m.rounding for m in measured(got, judged(case, keep=False), case, values))


def _wanted(case: Case) -> dict[str, Array]:
    want: dict[str, Array] = wanted(replace(case, cotangent={}), SEQUENTIAL)
    return want


def _near_all(got: Mapping[str, Any], want: Mapping[str, Array]) -> bool:
    """Whether no number is far off, which is decided without a bound."""
    return all(name in got and _near(np.asarray(got[name]), x) for name, x in want.items())


def _near(x: Array, y: Array) -> bool:
    if x.shape != y.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.max(np.abs(x - y), initial=0) <= FAR_OFF * np.max(np.abs(y), initial=0))
