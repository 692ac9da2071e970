"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from s5ref.engine import Engine
from s5ref.verification.stages.stage import Arrays, Case

Apply = Callable[[Engine | None], AbstractContextManager[Engine]]


@dataclass(frozen=True)
class Mutant:
    """One known mistake, as a change of the reference.

    id        as in the list of known mistakes: M20
    name      a few words
    sentence  what is said of a candidate whose numbers are those of this mutant
    stage     the first stage whose numbers it changes
    apply     ``with mutant.apply(kernels) as engine``: the reference with the mistake, on that engine (None:
              SEQUENTIAL)
    numeric   whether a stored vector catches it; if not, the behavioural check of the same id does
    noise     {output: what two implementations of the same mistake may differ by, in units of eps}, where
    that
              is more than the bound of the case: mistakes that lose digits
    """

    id: str
    name: str
    sentence: str
    stage: str
    apply: Apply
    numeric: bool = True
    noise: Callable[[Case], Arrays] | None = None
