"""From the word on the command line to a candidate: a built-in name, the name of an adapter,
``module:object``, or ``./program``.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sys
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

from s5ref.engine import as_engine
from s5ref.errors import S5Error, suggest
from s5ref.verification.conformance.adapters.field import FIELD, check_repository

ENGINES = ("sequential", "numpy", "numba")
BUILT_IN = (*ENGINES, "jax", "s5-pytorch")
OBJECTS = {"jax": "s5ref.verification.conformance.kit.s5_jax:S5Jax"} | {
    name: implementation.target for name, implementation in FIELD.items()
}


def load(target: str) -> Any:
    """The candidate, made here and now; whatever its module or its class raises is raised."""
    if target in ENGINES:
        from s5ref.verification.conformance.kit.engine import EngineCandidate

        return EngineCandidate(as_engine(target))
    if command := _program(target):
        from s5ref.verification.conformance.kit.program import Program

        return Program(command)
    if target not in OBJECTS:  # the user's own: the current folder comes first, as for a script
        sys.path.insert(0, os.getcwd())
    module, _, name = OBJECTS.get(target, target).partition(":")
    made = attrgetter(name)(importlib.import_module(module))
    return made() if isinstance(made, type) else made


def checked(target: str, folder: str | Path | None = None) -> str:
    """The target, if its form is one of those that there are and ``folder``, the current one if None, has
    what it needs; S5Error with the nearest name otherwise.
    """
    folder = Path(folder or os.getcwd())
    if command := _program(target):
        if shutil.which(folder / command[0]) is None:
            raise S5Error(f"{command[0]} is not a program that can be run.", "Check path and permissions.")
        return target
    module, colon, name = target.partition(":")
    is_object = colon and all(part.isidentifier() for part in f"{module}.{name}".split("."))
    if target in FIELD:
        check_repository(target, folder)
    if target in BUILT_IN or target in FIELD or is_object:
        return target
    raise S5Error(
        f"TARGET must be {', '.join(BUILT_IN)}, a name of `s5ref check --list`, module:object or ./program; "
        f"got {target!r}.",
        suggest(target, (*BUILT_IN, *FIELD)) or "Example: s5ref check my_s5:MyS5.",
    )


def _program(target: str) -> list[str]:
    """The words of a command whose program is a path; [] if the target is none."""
    with suppress(ValueError):  # a quotation mark without another
        words = shlex.split(target)
        return words if words and os.sep in words[0] else []
    return []
