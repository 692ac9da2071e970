"""A case as a question: arguments in order, what goes by keyword, and what a candidate cannot be asked; and
the case in the form that a candidate has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from s5ref.tree import leaves
from s5ref.verification.conformance.kit.arrays import packed
from s5ref.verification.conformance.protocol import SIGNATURES, outputs_of
from s5ref.verification.conformance.stages import Case, audit
from s5ref.verification.conformance.stages.forms import all_states, halves
from s5ref.verification.conformance.stages.reference import config_in
from s5ref.verification.conformance.stages.stage import Arrays

# What holds where nothing is said: the paper's S5. None: any value, since the parameters themselves show it.
STANDARD: dict[str, Any] = {
    "conj_sym": True, "clip_eigs": False, "discretization": "zoh", "step_rescale": 1.0, "gelu": "tanh",
    "prenorm": True, "bn_momentum": 0.95, "activation": None, "norm": None, "bidirectional": False,
    "n_layers": None, "train": False, "pooling": "mean", "padding": "upstream", "head": None, "of": "ssm",
}  # fmt: skip
DEFAULTS = {"bidirectional": False, "step_rescale": 1.0, "train": False, "reverse": False, "method": "zoh"}
SPACES = ("ssm", "step", "layer", "model")
UNSAID = {  # what a case asks for where it does not say so, in which stages
    "conj_sym": (True, (*SPACES, "init")), "discretization": ("zoh", SPACES),
    "bidirectional": (False, SPACES), "prenorm": (True, ("layer", "model", "step")),
    "pooling": ("mean", ("model",)), "head": ("classifier", ("model",)),
}  # fmt: skip
FORMS = ("conj_sym", "discretization", "prenorm", "pooling")  # those that a case can be put in


class Lacking(Exception):
    """The candidate raised NotImplementedError, or does not claim what it is asked for."""


def in_one_voice(described: Mapping[str, Any]) -> dict[str, Any]:
    """What a candidate says of itself, where it says in one way only that it keeps all states: by
    ``options = {"conj_sym": False}``, or by features with "all_states" and without "conj_sym".
    """
    features, options = described["features"], described["options"]
    if features is None:
        return dict(described)
    if "all_states" in features and "conj_sym" not in features:
        options = {"conj_sym": False} | options
    if options.get("conj_sym") is False:
        features = sorted({*features, "all_states"})
    return {**described, "features": features, "options": options}


def own_options(stage: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """The options of which a candidate has one value only, in a stage."""
    fixed = described["options"]
    general = {name: value for name, value in fixed.items() if name not in SIGNATURES}
    own: dict[str, Any] = general | fixed.get(stage, {})
    return {name: value for name, value in own.items() if value is not None}


def _said(case: Case) -> dict[str, Any]:
    """Everything that a case asks with, said or not."""
    given = _given(case)
    unsaid = {name: value for name, (value, stages) in UNSAID.items() if case.stage in stages}
    if given.get("head") == "regression":  # a value at every step
        del unsaid["pooling"]
    said: dict[str, Any] = unsaid | given | given.get("config", {})
    return said


def in_form(case: Case, described: Mapping[str, Any]) -> Case:
    """The case in the form that a candidate says it has, where the case does not ask for one.

    The reference answers for either. With ``conj_sym = False`` states and parameters come with their
    conjugates.
    """
    own, said = own_options(case.stage, described), _said(case)
    form = {
        name: own[name] for name in FORMS
        if name in own and name in said and name not in case.options and own[name] != said[name]
    }  # fmt: skip
    if not form:
        return case
    words = ", ".join(f"{name} = {value}" for name, value in form.items())
    inputs, cotangent, features = case.inputs, case.cotangent, case.features
    if form.get("conj_sym") is False:
        features = tuple("all_states" if feature == "conj_sym" else feature for feature in features)
        inputs, cotangent = all_states(inputs, _states(case)), all_states(cotangent, _states(case))
    return replace(
        case, id=f"{case.id} with {words}", seed=f"{case.seed} with {words}", inputs=inputs,
        cotangent=cotangent, features=features, options={**case.options, **form},
    )  # fmt: skip


def out_of_form(answers: Arrays, case: Case, asked: Case) -> Arrays:
    """The answers to a case that was asked in another form, as if they were those to the case itself."""
    return answers if _states(case) == _states(asked) else halves(answers, _states(case))


def _states(case: Case) -> int:
    return next((len(leaf) for path, leaf in leaves(case.inputs) if path.endswith("Lambda")), 0)


def lacks(stage: str, described: Mapping[str, Any]) -> list[str]:
    """The arguments of a stage that may be missing and that the candidate's method does not take.

    A method that takes fewer is called with those that have its names; where names are its own, with the
    first of them.
    """
    takes, signature = described["positional"][stage], SIGNATURES[stage]
    if takes is None:
        return []
    own = [name for name in takes if name in signature.args or name not in STANDARD]
    left = [name for name in signature.args if name not in own]
    if not set(own) <= set(signature.args):
        left = list(signature.args[len(own) :])
    return [name for name in left if name in signature.optional or name in DEFAULTS]


def message(case: Case, described: Mapping[str, Any]) -> dict[str, Any]:
    """The question, with the further arguments that the candidate's method takes."""
    signature, given, lacking = SIGNATURES[case.stage], _given(case), lacks(case.stage, described)
    accepted, gradients = described["stages"][case.stage], described["gradients"]
    args = {name: given.get(name, DEFAULTS.get(name)) for name in signature.args if name not in lacking}
    further = {
        name: value for name, value in given.items()
        if name not in signature.args and (accepted is None or name in accepted)
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
OPT_IN = {"dirac", "async", "foh", "packed", "event_pooling", "complex_normal", "drawn_dropout"}


def refused(case: Case, described: Mapping[str, Any]) -> str:
    """Why the case does not apply to a candidate; empty if it does."""
    features = described["features"]
    if case.stage not in described["stages"]:
        return f"no {case.stage}"
    if case.dtype not in described["dtypes"]:
        return f"no {case.dtype}"
    own, accepted = own_options(case.stage, described), described["stages"][case.stage]
    claimed = set(case.features) - OPT_IN if features is None else set(features)
    if features is None and "dropout" in (accepted or ()):
        claimed.add("drawn_dropout")
    lacking = [feature for feature in case.features if feature not in claimed]
    if lacking:
        return f"does not claim {', '.join(lacking)}"
    if case.stage == "init" and case.dtype != "float32" and accepted is not None and "dtype" not in accepted:
        return "init takes no dtype"
    lacking, given = lacks(case.stage, described), _given(case)
    for name, value in _said(case).items():
        if name in own and own[name] != value:
            return f"has {name}={own[name]} only"
        if name in own or name not in given:
            continue
        if name in SIGNATURES[case.stage].args:
            plain = value is None or isinstance(value, str | bool | float)
            takes = name not in lacking or (plain and value in (None, DEFAULTS.get(name)))
        else:
            takes = accepted is None or name in accepted or _standard(name, value, features)
        if not takes:
            shown = f"={value}" if isinstance(value, str | int | float) else ""
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
