"""What a mutant is, and how one is written: as the function that stands in for one of s5ref's.

::

    @mistake("M05", "no cotangent of the multiplier", "scan", "s5ref.ssm.scan:sequential_scan_vjp")
    def _no_multiplier(vjp, residuals, d):
        \"\"\"the gradient of Lambda_bar through the scan is lost (zero)\"\"\"

gets the function that it stands in for, and then its arguments. The first paragraph of the docstring is what
is said of a candidate that makes the mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from s5ref.engine import Engine
from s5ref.verification.conformance.mutants.patch import replaced
from s5ref.verification.conformance.stages.stage import Arrays, Case

F = TypeVar("F", bound=Callable[..., Any])


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
    """

    id: str
    name: str
    sentence: str
    stage: str
    changes: tuple[Change, ...]
    numeric: bool = True
    noise: Callable[[Case], Arrays] | None = None

    @contextmanager
    def apply(self, engine: Engine | None = None) -> Iterator[Engine]:
        """The reference makes the mistake within; yields ``engine`` (None: SEQUENTIAL) with it."""
        with ExitStack() as stack:
            for change in self.changes:
                engine = stack.enter_context(replaced(*change, engine))
            assert engine is not None
            yield engine


MUTANTS: dict[str, Mutant] = {}


def mistake(
    id_: str,
    name: str,
    stage: str,
    place: str,
    *,
    numeric: bool = True,
    noise: Callable[[Case], Arrays] | None = None,
) -> Callable[[F], F]:
    """A decorator: the function stands at ``place`` in this mutant; the arguments are those of `Mutant`."""

    def register(fn: F) -> F:
        sentence = " ".join((fn.__doc__ or "").split("\n\n")[0].split())
        MUTANTS[id_] = Mutant(id_, name, sentence, stage, (_change(place, fn),), numeric, noise)
        return fn

    return register


def together(id_: str, place: str) -> Callable[[F], F]:
    """A decorator: the function stands at ``place`` in the mutant ``id_`` as well."""

    def register(fn: F) -> F:
        MUTANTS[id_] = replace(MUTANTS[id_], changes=(*MUTANTS[id_].changes, _change(place, fn)))
        return fn

    return register


def _change(place: str, fn: Callable[..., Any]) -> Change:
    return Change(place, lambda original: lambda *args, **options: fn(original, *args, **options))
