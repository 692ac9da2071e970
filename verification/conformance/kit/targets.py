"""From the word on the command line to a candidate: a built-in name, ``module:object``, or ``./program``."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sys
from contextlib import suppress
from operator import attrgetter
from typing import Any

from s5ref.engine import as_engine
from s5ref.errors import S5Error, suggest

ENGINES = ("sequential", "numpy", "numba")
FRAMEWORKS = {
    "jax": "s5ref.verification.conformance.kit.s5_jax:S5Jax",
    "s5-pytorch": "s5ref.verification.conformance.kit.s5_pytorch:S5PyTorch",
}
BUILT_IN = (*ENGINES, *FRAMEWORKS)


def load(target: str) -> Any:
    """The candidate, made here and now; whatever its module or its class raises is raised."""
    if target in ENGINES:
        from s5ref.verification.conformance.kit.engine import EngineCandidate

        return EngineCandidate(as_engine(target))
    if command := _program(target):
        from s5ref.verification.conformance.kit.program import Program

        return Program(command)
    if target not in FRAMEWORKS:  # the user's own: the current folder comes first, as for a script
        sys.path.insert(0, os.getcwd())
    module, _, name = FRAMEWORKS.get(target, target).partition(":")
    made = attrgetter(name)(importlib.import_module(module))
    return made() if isinstance(made, type) else made


def checked(target: str) -> str:
    """The target, if its form is one of the three; S5Error with the nearest built-in name otherwise."""
    if command := _program(target):
        if shutil.which(command[0]) is None:
            raise S5Error(f"{command[0]} is not a program that can be run.", "Check path and permissions.")
        return target
    module, colon, name = target.partition(":")
    is_object = colon and all(part.isidentifier() for part in f"{module}.{name}".split("."))
    if target in BUILT_IN or is_object:
        return target
    raise S5Error(
        f"TARGET must be {', '.join(BUILT_IN)}, module:object or ./program; got {target!r}.",
        suggest(target, BUILT_IN) or "Example: s5ref check my_s5:MyS5.",
    )


def _program(target: str) -> list[str]:
    """The words of a command whose program is a path; [] if the target is none."""
    with suppress(ValueError):  # a quotation mark without another
        words = shlex.split(target)
        return words if words and os.sep in words[0] else []
    return []
