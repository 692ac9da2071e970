"""Two mistakes planted together, and right variants: whether the names are the right ones and no others."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from threading import Lock

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.kit.compare import Judged, judged
from s5ref.verification.conformance.kit.naming import numbers_with
from s5ref.verification.conformance.mutants import MUTANTS
from s5ref.verification.conformance.mutants.session import Said, all_said
from s5ref.verification.conformance.stages import cases
from s5ref.verification.rounding.budget import element_ratios


@dataclass(frozen=True)
class Judgement:
    """What was said of a candidate with the mistakes ``ids``, or of a right one without any.

    hidden  where some were not named: those that change no number of a case beside the others
    """

    ids: tuple[str, ...]
    said: Said
    hidden: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        return bool(self.said.failed)

    @property
    def named(self) -> tuple[str, ...]:
        """The mistakes that are there and were named."""
        return tuple(id_ for id_ in self.ids if id_ in self.said.names)

    @property
    def false(self) -> tuple[str, ...]:
        """What was named and is not so, of itself or as part of a mistake that is there."""
        true = {wider for id_ in self.ids for wider in (id_, *MUTANTS[id_].implies)}
        return tuple(name for name in self.said.names if name not in true)

    @property
    def missing(self) -> tuple[str, ...]:
        """The mistakes that show and were not named."""
        return tuple(id_ for id_ in self.ids if id_ not in (*self.named, *self.hidden))


Report = Callable[[Judgement], None]


def drawn(ids: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """``count`` pairs of these, in a random order."""
    pairs = list(combinations(ids, 2))
    return random.Random(seed).sample(pairs, min(count, len(pairs)))


def judge_pairs(pairs: Sequence[tuple[str, ...]], report: Report) -> list[Judgement]:
    """Each pair in one candidate, which goes through the session of `s5ref check`."""
    return _judged({"_".join(pair): pair for pair in pairs}, report)


def judge_right(names: Sequence[str], report: Report) -> list[Judgement]:
    """Right variants: they must pass, and nothing may be named."""
    return _judged(dict.fromkeys(names, ()), report)


def _judged(candidates: Mapping[str, tuple[str, ...]], report: Report) -> list[Judgement]:
    found: dict[str, Judgement] = {}
    alone = Lock()  # `hidden` puts mistakes into this process, and answers land in several threads

    def landed(said: Said) -> None:
        ids = candidates[said.planted]
        with alone:
            unseen = hidden(ids) if set(ids) - set(said.names) else ()
        found[said.planted] = judgement = Judgement(ids, said, unseen)
        report(judgement)

    all_said(list(candidates), landed)
    return [found[name] for name in candidates]


def hidden(ids: tuple[str, ...]) -> tuple[str, ...]:
    """The mistakes of a pair without which the candidate would give the same numbers in every case."""
    return tuple(id_ for id_ in ids if MUTANTS[id_].numeric and not _shows(id_, ids))


def _shows(id_: str, ids: tuple[str, ...]) -> bool:
    together = tuple(MUTANTS[i] for i in ids)
    others = tuple(mutant for mutant in together if mutant.id != id_)
    for case in cases():
        reference = judged(case)
        got, want = (numbers_with(case, mutants, reference.want) for mutants in (together, others))
        if not all(_same(got.get(name), want.get(name), name, reference) for name in reference.want):
            return True
    return False


def _same(x: Array | None, y: Array | None, name: str, reference: Judged) -> bool:
    if x is None or y is None or not np.array_equal(np.isfinite(x), np.isfinite(y)):
        return x is y
    x, y = (np.where(np.isfinite(z), z, 0) for z in (x, y))
    return bool(np.all(element_ratios(x, y, reference.bounds.get(name, 0.0), reference.eps) <= 1))
