"""Candidates with one known mistake: ``s5ref check s5ref.verification.conformance.mutants.planted:M20``
judges one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from s5ref.verification.conformance.kit.engine import EngineCandidate
from s5ref.verification.conformance.mutants import MUTANTS


class Planted(EngineCandidate):  # type: ignore[misc]
    """The target ``sequential`` in a process that makes the mistake as long as it lives."""

    def __init__(self, id_: str) -> None:
        self._planted = ExitStack()
        super().__init__(self._planted.enter_context(MUTANTS[id_].apply(None)))


def __getattr__(name: str) -> Any:
    if name in MUTANTS:
        return Planted(name)
    raise AttributeError(f"{name} is no known mistake; they are {', '.join(MUTANTS)}")
