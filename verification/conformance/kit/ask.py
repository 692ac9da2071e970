"""A case as a question: arguments in order, what goes by keyword, and what a candidate cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import leaves
from s5ref.verification.conformance.kit.arrays import packed
from s5ref.verification.conformance.protocol import SIGNATURES
from s5ref.verification.conformance.stages import Case, audit

# What holds where nothing is said: the paper's S5. None: any value, since the parameters themselves show it.
STANDARD: dict[str, Any] = {
    "conj_sym": True, "clip_eigs": False, "discretization": "zoh", "step_rescale": 1.0, "gelu": "tanh",
    "prenorm": True, "bn_momentum": 0.95, "activation": None, "norm": None, "bidirectional": None,
    "n_layers": None, "train": False, "pooling": "mean", "padding": "upstream", "head": None, "of": "ssm",
}  # fmt: skip
DEFAULTS = {"bidirectional": False, "step_rescale": 1.0, "train": False, "reverse": False}


def message(case: Case, accepted: list[str] | None, gradients: bool) -> dict[str, Any]:
    """The question. ``accepted``: the further arguments that the candidate's method takes; None: any."""
    signature = SIGNATURES[case.stage]
    given = {**case.options, **case.inputs}
    if case.stage == "init":
        given = {"config": _config(case), "seed": case.options["seed"], "dtype": case.dtype}
    args = {name: given.get(name, DEFAULTS.get(name)) for name in signature.args}
    further = {
        name: value for name, value in given.items()
        if name not in args and (accepted is None or name in accepted)
    }  # fmt: skip
    cotangent = None
    if case.cotangent and gradients and signature.differentiable:
        cotangent = {name: packed(case.cotangent.get(name)) for name in signature.outputs}
    return {
        "op": "call", "stage": case.stage, "dtype": case.dtype, "args": args, "further": further,
        "cotangent": cotangent,
    }  # fmt: skip


OPT_IN = {"dirac"}  # features that most implementations lack: asked of those that claim them


def refused(case: Case, described: Mapping[str, Any], features: list[str] | None) -> str:
    """Why the case does not apply to a candidate; empty if it does."""
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
    for name, value in {**case.options, **case.inputs}.items():
        if name in SIGNATURES[case.stage].args or (case.stage == "init" and name in _config(case)):
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
        return (name, value) not in (("head", "regression"), ("activation", "half_glu2"))
    return bool(STANDARD[name] == value) or (features is not None and isinstance(value, str | bool))


def _config(case: Case) -> dict[str, Any]:
    return {name: value for name, value in case.options.items() if name not in ("seed", "dtype")}


def numbers(case: Case, answer: Mapping[str, Any], reference: Mapping[str, Array]) -> dict[str, Any]:
    """Outputs and cotangents by the reference's names: ``x``, ``statistics.norm.mean``, ``dparams.B``."""
    outputs = answer["outputs"]
    if case.stage == "init":
        return _audited(case, outputs["params"], reference)
    found = dict(leaves(outputs))
    grads = answer["grads"] or {}
    return found | {f"d{name}": leaf for name, leaf in grads.items()}


def _audited(case: Case, params: Mapping[str, Any], reference: Mapping[str, Array]) -> dict[str, Any]:
    """The numbers of the leaves that the candidate drew; the reference's leaves stand in for the others."""
    found = audit({**reference, **params}, case.options)
    drawn = {name.rpartition("seq.")[2].partition(".")[0] for name in params if ".seq." in name}
    drawn |= {"encoder", "decoder", "gate"} & {_kernel(name) for name in params}
    missing = [name for name in reference if name not in params]
    return {
        name: value for name, value in found.items()
        if (name == "constant.largest_error" and not missing)
        or name.split(".")[0] in drawn
        or (name.startswith("kernel.") and name.split(".")[1] in drawn)
    }  # fmt: skip


def _kernel(name: str) -> str:
    return {"encoder.kernel": "encoder", "decoder.kernel": "decoder"}.get(
        name, "gate" if ".out2." in name else ""
    )
