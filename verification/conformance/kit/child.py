"""The process of a candidate: ``python -P -m s5ref.verification.conformance.kit.child``, asked as
`s5ref.process` says.

    {"op": "load", "target": …, "memory": bytes or None}       →  what the candidate says of itself
    {"op": "call", "stage": …, "args": …, "cotangent": …, …}   →  {"outputs": …, "grads": …, "backward": …}
    {"op": "audit"}                                            →  {"findings": [[what, what went wrong], …]}

``backward`` says what the backward pass raised, or nothing. Where ``ok`` is false, ``kind`` is "lacks" (the
candidate raised NotImplementedError), "array" (an array that cannot be read here), "form" (not the outputs of
the stage), or "raised".
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import platform
import sys
import traceback
from typing import Any

from s5ref.machine import version
from s5ref.process import Message, in_words, limit_memory, serve
from s5ref.verification.conformance.kit.arrays import Foreign, framework_of
from s5ref.verification.conformance.kit.gradients import Question, evaluate, has_gradients
from s5ref.verification.conformance.kit.targets import load
from s5ref.verification.conformance.protocol import SIGNATURES, Malformed

PACKAGES = {  # and their modules
    "numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jaxlib", "flax": "flax",
    "equinox": "equinox", "dm-haiku": "haiku", "numba": "numba", "s5-pytorch": "s5",
}  # fmt: skip


class Host:
    """A candidate, once it is loaded."""

    candidate: Any = None

    def answer(self, request: Message) -> Message:
        try:
            if request["op"] == "load":
                if request["memory"] is not None:
                    limit_memory(request["memory"])
                self.candidate = load(request["target"])
                return _described(self.candidate)
            return _called(self.candidate, request)
        except NotImplementedError as error:
            return _refused("lacks", str(error) or "not implemented")
        except Foreign as error:
            return _refused("array", str(error))
        except Malformed as error:
            return _refused("form", str(error))


def _refused(kind: str, message: str) -> Message:
    return {"ok": False, "kind": kind, "message": message}


def _described(candidate: Any) -> Message:
    framework = framework_of(candidate)
    methods = {stage: getattr(candidate, stage, None) for stage in SIGNATURES}
    features = getattr(candidate, "features", None)
    return {
        "framework": framework,
        "stages": {stage: _keywords(stage, m) for stage, m in methods.items() if callable(m)},
        "positional": {stage: _positional(m) for stage, m in methods.items() if callable(m)},
        "dtypes": list(getattr(candidate, "dtypes", ("float32", "float64"))),
        "features": None if features is None else list(features),
        "options": dict(getattr(candidate, "options", {})),
        "gradients": has_gradients(candidate, framework),
        "audit": callable(getattr(candidate, "audit", None)),
        "versions": _versions(),
    }


def _keywords(stage: str, method: Any) -> list[str] | None:
    """The further arguments that a method takes by name; None: any."""
    parameters = _parameters(method)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [
        p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name not in SIGNATURES[stage].args
    ]


def _positional(method: Any) -> list[str] | None:
    """The arguments that a method takes in order; None: any number."""
    parameters = _parameters(method)
    if not parameters or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _parameters(method: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # written in C
        return []


def _called(candidate: Any, request: Message) -> Message:
    if request["op"] == "audit":
        return {"findings": [list(finding) for finding in candidate.audit()]}
    question = Question(request["stage"], request["args"], request["further"])
    framework = framework_of(candidate)
    with _precision(framework, request["dtype"] == "float64"):
        found = evaluate(candidate, framework, question, request["cotangent"])
    answer = {"outputs": found.outputs, "grads": found.grads, "backward": ""}
    if found.raised is not None:
        told = "".join(traceback.format_exception(found.raised))
        answer |= {"backward": in_words(found.raised), "traceback": told}
    return answer


def _precision(framework: str, wide: bool) -> Any:
    """jax computes in float64 only where it is told to; a float32 case runs as its users run it."""
    if framework != "jax" or not wide:
        return contextlib.nullcontext()
    return importlib.import_module("jax").enable_x64(True)


def _versions() -> dict[str, str]:
    """Of Python, and of the packages that the candidate has imported."""
    loaded = (name for name, module in PACKAGES.items() if getattr(sys.modules.get(module), "__file__", ""))
    versions = {name: version(name) for name in loaded}
    return {"python": platform.python_version()} | {name: v for name, v in versions.items() if v is not None}


if __name__ == "__main__":
    serve(Host().answer)
