"""A case as a question: arguments in order, what goes by keyword, and what a candidate cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.tree import leaves
from s5ref.verification.conformance.kit.arrays import packed
from s5ref.verification.conformance.protocol import SIGNATURES, outputs_of
from s5ref.verification.conformance.stages import Case, audit
from s5ref.verification.conformance.stages.reference import config_in

# What holds where nothing is said: the paper's S5. None: any value, since the parameters themselves show it.
STANDARD: dict[str, Any] = {
    "conj_sym": True, "clip_eigs": False, "discretization": "zoh", "step_rescale": 1.0, "gelu": "tanh",
    "prenorm": True, "bn_momentum": 0.95, "activation": None, "norm": None, "bidirectional": None,
    "n_layers": None, "train": False, "pooling": "mean", "padding": "upstream", "head": None, "of": "ssm",
}  # fmt: skip
DEFAULTS = {"bidirectional": False, "step_rescale": 1.0, "train": False, "reverse": False}


def message(case: Case, accepted: list[str] | None, gradients: bool) -> dict[str, Any]:
    """The question. ``accepted``: the further arguments that the candidate's method takes; None: any."""
    signature, given = SIGNATURES[case.stage], _given(case)
    args = {name: given.get(name, DEFAULTS.get(name)) for name in signature.args}
    further = {
        name: value for name, value in given.items()
        if name not in args and (accepted is None or name in accepted)
    }  # fmt: skip
    cotangent = None
    if case.cotangent and gradients and signature.differentiable:
        cotangent = {name: packed(case.cotangent.get(name)) for name in outputs_of(case.stage, given)}
    return {
        "op": "call", "stage": case.stage, "dtype": case.dtype, "args": args, "further": further,
        "cotangent": cotangent,
    }  # fmt: skip


def _given(case: Case) -> dict[str, Any]:
    """Everything that a case asks with, by the name of an argument or an option."""
    if case.stage != "init":
        return {**case.options, **case.inputs}
    return {"config": config_in(case.options), "seed": case.options["seed"], "dtype": case.dtype}


# Features that most implementations lack: asked of those that claim them.
OPT_IN = {"dirac", "async", "foh", "packed", "event_pooling"}


def refused(case: Case, described: Mapping[str, Any]) -> str:
    """Why the case does not apply to a candidate; empty if it does."""
    features = described["features"]
    if case.stage not in described["stages"]:
        return f"no {case.stage}"
    if case.dtype not in described["dtypes"]:
        return f"no {case.dtype}"
    claimed = set(case.features) - OPT_IN if features is None else set(features)
    lacking = [feature for feature in case.features if feature not in claimed]
    if lacking:
        return f"does not claim {', '.join(lacking)}"
    fixed = described["options"]
    accepted = described["stages"][case.stage]
    if case.stage == "init" and case.dtype != "float32" and accepted is not None and "dtype" not in accepted:
        return "init takes no dtype"
    for name, value in _given(case).items():
        if name in SIGNATURES[case.stage].args:
            continue
        own = fixed.get(case.stage, {}).get(name, fixed.get(name))
        if own is not None:
            if own != value:
                return f"has {name}={own} only"
        elif accepted is not None and name not in accepted and not _standard(name, value, features):
            shown = "" if isinstance(value, np.ndarray) else f"={value}"
            return f"{case.stage} takes no {name}{shown}"
    return ""


def _standard(name: str, value: Any, features: list[str] | None) -> bool:
    if name in ("seed", "dtype", "k"):
        return True
    if name not in STANDARD:
        return False
    if STANDARD[name] is None:
        return value not in ("regression", "pooled_regression", "none", "half_glu2")
    return bool(STANDARD[name] == value) or (features is not None and isinstance(value, str | bool))


def numbers(case: Case, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs and cotangents by the reference's names: ``x``, ``statistics.norm.mean``, ``dparams.B``."""
    outputs = answer["outputs"]
    if case.stage == "init":
        return dict(audit(outputs["params"], case.options))
    return dict(leaves(outputs)) | {f"d{name}": leaf for name, leaf in (answer["grads"] or {}).items()}
