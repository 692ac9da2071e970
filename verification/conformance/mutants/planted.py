"""Candidates with one known mistake: ``s5ref check s5ref.verification.conformance.mutants.planted:M20``
judges one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from s5ref.verification.conformance.kit.engine import EngineCandidate
from s5ref.verification.conformance.mutants import MUTANTS

_PLANTED: list[ExitStack] = []  # as long as the process lives


def planted(id_: str) -> EngineCandidate:
    """The target ``sequential`` in a process that makes the mistake from here on."""
    _PLANTED.append(ExitStack())
    return EngineCandidate(_PLANTED[-1].enter_context(MUTANTS[id_].apply(None)))


def __getattr__(name: str) -> Any:
    if name in MUTANTS:
        return planted(name)
    raise AttributeError(f"{name} is no known mistake; they are {', '.join(MUTANTS)}")
