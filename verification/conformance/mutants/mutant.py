"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from s5ref.engine import Engine
from s5ref.verification.conformance.mutants.patch import all_replaced
from s5ref.verification.conformance.stages.stage import Arrays, Case

Apply = Callable[[Engine | None], AbstractContextManager[Engine]]


def changed(*changes: tuple[str, str, Any]) -> Apply:
    """A mistake as replacements: (module, name, what stands there instead)."""
    return lambda engine: all_replaced(*changes, engine=engine)


@dataclass(frozen=True)
class Mutant:
    """One known mistake, as a change of the reference.

    id        as in the list of known mistakes: M20
    name      a few words
    sentence  what is said of a candidate whose numbers are those of this mutant
    stage     the first stage whose numbers it changes
    apply     ``with mutant.apply(kernels) as engine``: the reference with the mistake, on that engine (None:
              SEQUENTIAL)
    numeric   whether the namer tries it: a stored vector catches it. The others change a behaviour of the
              candidate, or of what surrounds a layer (checkpoints, parameter groups)
    noise     {output: what two implementations of the same mistake may differ by, in units of eps}, where
              that is more than the bound of the case: mistakes that lose digits
    """

    id: str
    name: str
    sentence: str
    stage: str
    apply: Apply
    numeric: bool = True
    noise: Callable[[Case], Arrays] | None = None
