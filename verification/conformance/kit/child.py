"""The process that holds a candidate: ``python -m s5ref.verification.conformance.kit.child``, spoken to
over its pipes.

Whatever the candidate prints goes to stderr, so that it cannot disturb the conversation. What it raises is
reported; what kills the process or hangs is the parent's to notice
(`s5ref.verification.conformance.kit.process`).
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import platform
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from s5ref.verification.conformance.kit import frames
from s5ref.verification.conformance.kit.arrays import Foreign, framework_of
from s5ref.verification.conformance.kit.gradients import Question, evaluate, has_gradients
from s5ref.verification.conformance.kit.targets import load
from s5ref.verification.conformance.protocol import SIGNATURES, Malformed

PACKAGES = ("numpy", "torch", "jax", "jaxlib", "numba", "s5-pytorch")


def serve() -> None:
    """Answer requests until the other end closes."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    candidate: Any = None
    while True:
        try:
            request = frames.read(requests)
        except EOFError:
            return
        try:
            if request["op"] == "load":
                candidate = load(request["target"])
                answer = {"ok": True, **_described(candidate)}
            else:
                answer = {"ok": True, **_called(candidate, request)}
        except NotImplementedError as error:
            answer = {"ok": False, "kind": "lacks", "message": str(error) or "not implemented"}
        except Foreign as error:
            answer = {"ok": False, "kind": "array", "message": str(error)}
        except Malformed as error:
            answer = {"ok": False, "kind": "form", "message": str(error)}
        except (Exception, SystemExit) as error:
            answer = {
                "ok": False,
                "kind": "raised",
                "message": _words(error),
                "trace": traceback.format_exc(),
            }
        frames.write(answers, answer)


def _described(candidate: Any) -> dict[str, Any]:
    framework = framework_of(candidate)
    methods = {stage: getattr(candidate, stage, None) for stage in SIGNATURES}
    features = getattr(candidate, "features", None)
    return {
        "framework": framework,
        "stages": {stage: _keywords(stage, m) for stage, m in methods.items() if callable(m)},
        "dtypes": list(getattr(candidate, "dtypes", ("float32", "float64"))),
        "features": None if features is None else list(features),
        "options": dict(getattr(candidate, "options", {})),
        "gradients": has_gradients(candidate, framework),
        "audit": callable(getattr(candidate, "audit", None)),
        "versions": _versions(),
    }


def _keywords(stage: str, method: Any) -> list[str] | None:
    """The further arguments that a method takes by name; None: any."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [
        p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name not in SIGNATURES[stage].args
    ]


def _called(candidate: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    if request["op"] == "audit":
        return {"findings": [list(finding) for finding in candidate.audit()]}
    question = Question(request["stage"], request["args"], request["further"], request["cotangent"])
    with _precision(framework_of(candidate), request["dtype"] == "float64"):
        outputs, grads = evaluate(candidate, framework_of(candidate), question)
    return {"outputs": outputs, "grads": grads}


def _precision(framework: str, wide: bool) -> Any:
    """jax computes in float64 only where it is told to; a float32 case runs as its users run it."""
    if framework != "jax" or not wide:
        return contextlib.nullcontext()
    return importlib.import_module("jax").enable_x64(True)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        if name.replace("-pytorch", "").replace("-", "_") in sys.modules:
            with contextlib.suppress(PackageNotFoundError):
                found[name] = version(name)
    return found


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    serve()
