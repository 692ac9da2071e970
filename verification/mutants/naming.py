"""Which known mistake explains wrong numbers: the candidate's outputs against those of every mutant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.budget import cast, ratio
from s5ref.verification.mutants.mutant import Mutant
from s5ref.verification.mutants.networks import NETWORKS
from s5ref.verification.mutants.scans import SCANS
from s5ref.verification.mutants.spaces import SPACES
from s5ref.verification.stages.bound import STAGES, computed
from s5ref.verification.stages.stage import Arrays, Case

NUMERIC = tuple(sorted((*SCANS, *SPACES, *NETWORKS), key=lambda m: m.id))
ORDER = tuple(STAGES)
ALLOWED = 2.0  # times the bound: candidate and mutant err by it each
OWN = 8.0  # eps of the mutant's own numbers, which the bound of the right ones knows nothing of


class Question(NamedTuple):
    """A case, what is right, and the bound of each output in units of eps."""

    case: Case
    want: Mapping[str, Array]
    bounds: Mapping[str, Array]

    @property
    def eps(self) -> float:
        return float(np.finfo(self.case.dtype).eps)


class Named(NamedTuple):
    """What is known of a candidate's mistakes.

    stage      the first stage, in the order of a computation, with a wrong number; "" if all are right
    mutants    the fewest mistakes found that explain all that can be explained, the most telling first; those
               that explain exactly the same are all listed
    explained  {id of a failing case: the mutants that explain it}
    """

    stage: str
    mutants: list[str]
    explained: dict[str, list[str]]

    @property
    def complete(self) -> bool:
        """Whether every failing case is explained."""
        return all(self.explained.values())


def failing(question: Question, got: Mapping[str, Any]) -> dict[str, float]:
    """{output: ratio above 1}, of the outputs that the candidate gives."""
    ratios = {
        name: agreement(got[name], want, question.bounds[name], question.eps)
        for name, want in question.want.items()
        if name in got
    }
    return {name: value for name, value in ratios.items() if not value <= 1}


def explanations(question: Question, got: Mapping[str, Any], among: Sequence[Mutant] = NUMERIC) -> list[str]:
    """The mutants whose numbers the candidate's are, in every output of the case that it gives."""
    return [mutant.id for mutant in among if explains(mutant, question, got)]


def explains(mutant: Mutant, question: Question, got: Mapping[str, Any]) -> bool:
    """Whether the candidate's outputs equal the mutant's within rounding, and the mutant's are wrong."""
    noise = mutant.noise(question.case) if mutant.noise else {}

    def allowed(name: str, leaf: Array) -> Array:
        size, right = (float(np.nanmax(np.abs(x), initial=0.0)) for x in (leaf, question.want[name]))
        grown = max(1.0, size / right) if right > 0 and size < np.inf else 1.0
        own = np.nan_to_num(np.abs(leaf), nan=0.0, posinf=0.0)
        return np.asarray(ALLOWED * grown * question.bounds[name] + OWN * own + noise.get(name, 0.0))

    for found in _mutated(mutant, question.case):
        close = all(
            agreement(got[name], leaf, allowed(name, leaf), question.eps) <= 1
            for name, leaf in found.items()
            if name in got
        )
        if close and failing(question, {name: leaf for name, leaf in found.items() if name in got}):
            return True
    return False


def name_mistakes(answers: Iterable[tuple[Question, Mapping[str, Any]]]) -> Named:
    """The stage and the mistakes of a candidate from all its answers, right and wrong ones."""
    answers = list(answers)
    wrong = [(q, got) for q, got in answers if failing(q, got)]
    right = [(q, got) for q, got in answers if not failing(q, got)]
    stage = min((q.case.stage for q, _ in wrong), key=ORDER.index, default="")
    # a mutant that would have been caught by a case that passes is not what happened
    possible = [
        m
        for m in NUMERIC
        if not any(m.id in q.case.catches and not explains_nothing(m, q, got) for q, got in right)
    ]
    return Named(stage, *_explained(wrong, possible))


def _explained(
    wrong: Sequence[tuple[Question, Mapping[str, Any]]], possible: Sequence[Mutant]
) -> tuple[list[str], dict[str, list[str]]]:
    """(the fewest mistakes, what explains each case). Mistakes seen before are tried first, others only where
    those fail: a candidate makes few mistakes, and each shows in many cases."""
    seen: list[Mutant] = []
    explained: dict[str, list[str]] = {}
    for q, got in wrong:
        ids = explanations(q, got, seen)
        if not ids:
            fresh = [m for m in possible if m not in seen]
            ids = explanations(q, got, fresh)
            seen += [m for m in fresh if m.id in ids]
        explained[q.case.id] = ids
    return _fewest(explained), explained


def explains_nothing(mutant: Mutant, question: Question, got: Mapping[str, Any]) -> bool:
    """Whether the mutant's outputs are right too, of those that the candidate gives."""
    return not any(
        failing(question, {name: leaf for name, leaf in found.items() if name in got})
        for found in _mutated(mutant, question.case)
    )


def _fewest(explained: Mapping[str, Sequence[str]]) -> list[str]:
    """Mistakes chosen one by one, each explaining the most of what is left; with those that explain the
    same."""
    left = {case: set(ids) for case, ids in explained.items() if ids}
    chosen: list[str] = []
    while left:
        cover = {
            id_: frozenset(case for case, ids in left.items() if id_ in ids)
            for ids in left.values()
            for id_ in ids
        }
        most = max(len(cases) for cases in cover.values())
        best = sorted(id_ for id_, cases in cover.items() if len(cases) == most)
        same = [id_ for id_ in best if cover[id_] == cover[best[0]]]
        chosen += same
        left = {case: ids for case, ids in left.items() if case not in cover[best[0]]}
    return chosen


@cache
def _kept(mutant: str) -> dict[str, Arrays]:
    return {}


def _mutated(mutant: Mutant, case: Case) -> list[Arrays]:
    """The mutant's outputs in float64 and in the case's own precision, at the same inputs; each kept."""
    kept = _kept(mutant.id)
    wide = replace(
        case, inputs=cast(dict(case.inputs), np.float64), cotangent=cast(case.cotangent, np.float64)
    )
    # both precisions of a case have the same inputs: one answer in float64 serves both
    wanted = {case.id if case.stage == "init" else case.seed: wide, case.id: case}
    missing = {key: c for key, c in wanted.items() if key not in kept}
    if missing:
        with mutant.apply(None) as engine, np.errstate(all="ignore"):
            kept.update({key: computed(c, engine) for key, c in missing.items()})
    return [kept[key] for key in wanted]


def agreement(got: Any, want: Any, bound: Any, eps: float) -> float:
    """As `s5ref.verification.budget.ratio`; numbers that are not finite agree with each other."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return float("inf")
    strange, expected = ~np.isfinite(got), ~np.isfinite(want)
    if strange.any() or expected.any():
        if not np.array_equal(strange, expected):
            return float("inf")
        got, want = np.where(strange, 0, got), np.where(expected, 0, want)
    return float(ratio(got, want, bound, eps))
