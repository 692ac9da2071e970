"""What a mutant is, and how one is written: as the functions that stand in for some of s5ref's.

Such a function gets the one that it stands in for, and then its arguments. The first paragraph of the
docstring of the first function is what is said of a candidate that makes the mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from s5ref.engine import Engine
from s5ref.verification.conformance.mutants.patch import replaced
from s5ref.verification.conformance.stages.stage import Arrays, Case


class Change(NamedTuple):
    """``make(what stands at place)`` stands there instead; ``place`` is "module:name"."""

    place: str
    make: Callable[[Any], Any]


@dataclass(frozen=True)
class Mutant:
    """One known mistake, as changes of the reference.

    id        as in the list of known mistakes: M20
    name      a few words
    sentence  what is said of a candidate whose numbers are those of this mutant
    stage     the first stage whose numbers it changes
    changes   made together: a value and its vjp, the parallel and the step form
    numeric   whether the namer tries it: a stored vector catches it. The others change a behaviour of the
              candidate, or of what surrounds a layer (checkpoints, parameter groups)
    noise     {output: what two implementations of the same mistake may differ by, in units of eps}, where
              that is more than the bound of the case: mistakes that lose digits
    implies   ids of wider mistakes, which are true of a candidate that makes this one
    """

    id: str
    name: str
    sentence: str
    stage: str
    changes: tuple[Change, ...]
    numeric: bool = True
    noise: Callable[[Case], Arrays] | None = None
    implies: tuple[str, ...] = ()

    @contextmanager
    def apply(self, engine: Engine | None = None) -> Iterator[Engine]:
        """The reference makes the mistake within; yields ``engine`` (None: SEQUENTIAL) with it."""
        with ExitStack() as stack:
            for change in self.changes:
                engine = stack.enter_context(replaced(*change, engine))
            assert engine is not None
            yield engine


def mutant(
    id_: str,
    name: str,
    stage: str,
    *changes: tuple[str, Callable[..., Any]],
    numeric: bool = True,
    noise: Callable[[Case], Arrays] | None = None,
    implies: tuple[str, ...] = (),
) -> Mutant:
    """The mutant of these (place within s5ref, function that stands there)."""
    sentence = " ".join((changes[0][1].__doc__ or "").split("\n\n")[0].split())
    made = tuple(Change(f"s5ref.{place}", _stand_in(fn)) for place, fn in changes)
    return Mutant(id_, name, sentence, stage, made, numeric, noise, implies)


def _stand_in(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda original: lambda *args, **options: fn(original, *args, **options)
