"""From the word on the command line to a candidate: a built-in name, ``module:object``, or ``./program``."""

from __future__ import annotations

import difflib
import importlib
import os
import shlex
import shutil
import sys
from typing import Any

from s5ref.errors import S5Error

ENGINES = ("sequential", "numpy", "numba")
BUILT_IN = (*ENGINES, "jax", "s5-pytorch")


def load(target: str) -> Any:
    """The candidate, made here and now; whatever its module or its class raises is raised."""
    if target in ENGINES:
        import s5ref
        from s5ref.verification.conformance.kit.engine import EngineCandidate

        return EngineCandidate(s5ref.NUMBA if target == "numba" else getattr(s5ref, target.upper()))
    if target == "jax":
        return _made("s5ref.verification.conformance.kit.s5_jax", "S5Jax")
    if target == "s5-pytorch":
        return _made("s5ref.verification.conformance.kit.s5_pytorch", "S5PyTorch")
    if _is_program(target):
        from s5ref.verification.conformance.kit.program import Program

        return Program(shlex.split(target))
    module, _, name = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return _made(module, name)


def checked(target: str) -> str:
    """The target, if its form is one of the three; S5Error with the nearest built-in name otherwise."""
    if target in BUILT_IN or _is_program(target):
        if _is_program(target):
            program = shlex.split(target)[0]
            if shutil.which(program) is None:
                raise S5Error(f"{program} is not a program that can be run.", "Check path and permissions.")
        return target
    module, colon, name = target.partition(":")
    if colon and all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        return target
    near = difflib.get_close_matches(target, BUILT_IN, 1)
    raise S5Error(
        f"TARGET must be {', '.join(BUILT_IN)}, module:object or ./program; got {target!r}.",
        f"Did you mean {near[0]}?" if near else "Example: s5ref check my_s5:MyS5.",
    )


def _is_program(target: str) -> bool:
    words = shlex.split(target)
    return bool(words) and os.sep in words[0]


def _made(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found() if isinstance(found, type) else found
