"""Candidates with known mistakes, and right ones that differ from the reference.

``s5ref check s5ref.verification.conformance.mutants.planted:M20`` judges one mistake, ``…:M20_M31`` two
together, ``…:all_states`` a right variant.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from s5ref.engine import Engine
from s5ref.verification.conformance.kit.engine import EngineCandidate
from s5ref.verification.conformance.mutants import MUTANTS, Mutant
from s5ref.verification.conformance.mutants.right import RIGHT

_PLANTED: list[ExitStack] = []  # as long as the process lives


def planted(*mutants: Mutant) -> EngineCandidate:
    """The target ``sequential`` in a process that is changed so from here on."""
    engine: Engine | None = None
    _PLANTED.append(ExitStack())
    for mutant in mutants:
        engine = _PLANTED[-1].enter_context(mutant.apply(engine))
    assert engine is not None
    return EngineCandidate(engine)


def __getattr__(name: str) -> Any:
    variant, ids = RIGHT.get(name), name.split("_")
    if variant is not None:
        return planted(variant) if isinstance(variant, Mutant) else variant
    if all(id_ in MUTANTS for id_ in ids):
        return planted(*(MUTANTS[id_] for id_ in ids))
    raise AttributeError(
        f"{name} is neither known mistakes ({', '.join(MUTANTS)}) joined by _ nor a right variant "
        f"({', '.join(RIGHT)})"
    )
