"""Testing the tester: every mutant is caught by a vector or a check, and named at the right stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from s5ref.random import generator
from s5ref.verification.mutants.behaviours import asking, failed_checks
from s5ref.verification.mutants.defects import DEFECTS
from s5ref.verification.mutants.mutant import Mutant
from s5ref.verification.mutants.naming import NUMERIC, Named, Question, failing, name_mistakes
from s5ref.verification.stages.bound import computed
from s5ref.verification.stages.stage import Arrays
from s5ref.verification.vectors.store import load

MUTANTS: dict[str, Mutant] = {m.id: m for m in sorted((*NUMERIC, *DEFECTS), key=lambda m: m.id)}
MANY = 2  # mistakes that no number tells apart may both be named, if ALIKE says so
ALIKE: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class MutantRow:
    """What became of one mutant.

    killed_by  the first vector (``id/output``) or check that fails; "" if none does
    kills      how many of the vectors, or checks, fail
    names      the mistakes named: by vectors for those that change a number, by checks for the others
    """

    id: str
    name: str
    stage: str
    numeric: bool
    killed_by: str
    kills: int
    stage_found: str
    names: tuple[str, ...]
    killed: bool
    named: bool


@dataclass(frozen=True)
class MutantsReport:
    """All rows, and the two rates (0 … 1)."""

    mutants: int
    killed: int
    named: int
    kill_rate: float
    naming_rate: float
    rows: list[MutantRow] = field(default_factory=list)


def run_mutants(
    report: Callable[[MutantRow], None] | None = None, only: Sequence[str] | None = None
) -> MutantsReport:
    """Apply every mutant (or those of ``only``) to the reference, put it to all vectors and checks, and
    name it.

    ``report`` gets each row as it lands.
    """
    rows = []
    for mutant in MUTANTS.values():
        if only is None or mutant.id in only:
            rows.append(_numeric(mutant) if mutant.numeric else _behavioural(mutant))
            if report is not None:
                report(rows[-1])
    killed, named, count = sum(r.killed for r in rows), sum(r.named for r in rows), len(rows)
    return MutantsReport(count, killed, named, killed / max(count, 1), named / max(count, 1), rows)


@cache
def questions() -> tuple[Question, ...]:
    """The stored vectors, as questions."""
    return tuple(Question(v.case, v.want, v.bounds) for v in load())


def answers_of(mutant: Mutant, among: Sequence[Question]) -> list[tuple[Question, Arrays]]:
    """What an implementation with this mistake answers: the mutant's numbers, each off by up to half an
    eps, so that
    a mistake is not named by its bits."""
    rng = generator("answers", mutant.id)
    with mutant.apply(None) as engine, np.errstate(all="ignore"):
        return [
            (q, {name: _rounded(x, q.eps, rng) for name, x in computed(q.case, engine).items()})
            for q in among
        ]


def _rounded(x: Any, eps: float, rng: np.random.Generator) -> Any:
    r = 0.5 * eps * rng.uniform(-1, 1, np.shape(x))
    return x + (x * r).astype(x.dtype)


def _numeric(mutant: Mutant) -> MutantRow:
    answers = answers_of(mutant, questions())
    kills = [(q, failing(q, got)) for q, got in answers]
    kills = [(q, ratios) for q, ratios in kills if ratios]
    found: Named = name_mistakes(answers)
    first = f"{kills[0][0].case.id}/{next(iter(kills[0][1]))}" if kills else ""
    names = tuple(found.mutants)
    good = (
        mutant.id in names and found.stage == mutant.stage and _exactly(names, mutant.id) and found.complete
    )
    return MutantRow(
        mutant.id, mutant.name, mutant.stage, True, first, len(kills), found.stage, names, bool(kills), good
    )


def _exactly(names: tuple[str, ...], id_: str) -> bool:
    return names == (id_,) or (len(names) == MANY and frozenset(names) in ALIKE)


def _behavioural(mutant: Mutant) -> MutantRow:
    """A check names its mistake: it fails if the checks of this id fail, and no others."""
    with mutant.apply(None) as engine, np.errstate(all="ignore"):
        ask: Any = asking(engine)
        failed = failed_checks(ask, library=True)
    names = tuple(dict.fromkeys(check.id for check in failed))
    own = [check.name for check in failed if check.id == mutant.id]
    return MutantRow(
        mutant.id,
        mutant.name,
        mutant.stage,
        False,
        own[0] if own else "",
        len(failed),
        mutant.stage,
        names,
        bool(own),
        names == (mutant.id,),
    )
