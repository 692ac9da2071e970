"""The mistakes that explain a candidate's numbers: known ones are put into the reference, alone and together,
until it gives the candidate's numbers within rounding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.verification.conformance.kit.compare import Judged, wanted
from s5ref.verification.conformance.kit.result import PIPELINE, pipeline_place
from s5ref.verification.conformance.mutants import NUMERIC, Mutant
from s5ref.verification.conformance.stages import Case
from s5ref.verification.rounding.budget import element_ratios

ALLOWED = 2.0  # times the bound: candidate and mutant err by it each
TOGETHER = 3  # mistakes at most that are tried at once
IN_VAIN = 4  # cases that no set of mistakes explains, after which sets of several are not tried again
SINGLE = 2.0**-23
ZERO_WORDS = "your gain divides by Lambda, which gives NaN where Lambda is 0; it tends to Delta there"
ALL_WORDS = "your SSM keeps all P states, none of the conjugate pairs halved: the conj_sym=False form"
SINGLE_WORDS = (
    "your float64 numbers have float32's errors: something inside is computed or stored in single precision"
)
PLACES = {  # of the pipeline, where the stage of the mutant is a composite
    "M20": "C/D", "M36": "C/D", "M40": "C/D", "M31": "activation", "M32": "norm", "M33": "norm",
    "M27": "norm", "M34": "gate", "M35": "gate", "M37": "discretise", "M39": "discretise",
    "M44": "discretise", "M45": "discretise", "M42": "scan",
    "M46": "scan", "M47": "pool", "M52": "norm", "M53": "norm", "M60": "scan", "M61": "pool", "M65": "pool",
    "M63": "discretise", "M64": "discretise",
}  # fmt: skip


class Named(NamedTuple):
    """The mistakes as sentences, and the first place of the pipeline that they concern."""

    sentences: tuple[str, ...] = ()
    place: str = ""


@dataclass
class Namer:
    """Names mistakes case by case; those that explained a case are tried first on the next."""

    seen: list[str] = field(default_factory=list)
    of_seed: dict[str, tuple[Mutant, ...]] = field(default_factory=dict)
    in_vain: set[str] = field(default_factory=set)

    def named(self, case: Case, got: Mapping[str, Any], reference: Judged) -> Named:
        """The fewest mistakes that explain all numbers of a case, or failing that its values alone."""
        got = {name: np.asarray(x) for name, x in got.items() if name in reference.want}
        if case.stage == "init":
            return _words(*_of_init(case, got, reference))
        values = {name: x for name, x in got.items() if not name.startswith("d")}
        for numbers in [got] if len(values) in (0, len(got)) else [got, values]:
            for mutants, single in self._sets(case, numbers, reference):
                mutated = numbers_with(case, mutants, numbers)
                eps = SINGLE if single else reference.eps
                if not mutated or not _agree(case, numbers, mutated, reference, eps, mutants):
                    continue
                explains = not _changes_nothing(case, mutants, mutated, reference) if mutants else single
                if explains:
                    self.seen += [m.id for m in mutants if m.id not in self.seen]
                    self.of_seed[case.seed] = mutants
                    return _words(mutants, [f"M28: {SINGLE_WORDS}"] if single else [])
        self.in_vain.add(case.seed)
        if case.stage == "discretize" and _divides_by_zero(case, got):
            return _words((), [f"M18: {ZERO_WORDS}"], "discretise")
        return Named()

    def _sets(
        self, case: Case, got: Mapping[str, Array], reference: Judged
    ) -> Iterator[tuple[tuple[Mutant, ...], bool]]:
        """Sets of mistakes in the order of trying, and whether float32's errors come with them: one by one;
        float32's errors in float64; several together."""
        sizes = (False, True) if case.dtype == "float64" else (False,)
        before = self.of_seed.get(case.seed, ())  # those of the other precision
        yield before, False
        relevant = []
        for mutant in sorted(
            NUMERIC, key=lambda m: self.seen.index(m.id) if m.id in self.seen else len(self.seen)
        ):
            yield (mutant,), False
            mutated = numbers_with(case, (mutant,), got)
            if mutated and not _changes_nothing(case, (mutant,), mutated, reference):
                relevant.append(mutant)
        for several in ((), before, *((mutant,) for mutant in relevant)) if True in sizes else ():
            yield several, True
        if len(self.in_vain) >= IN_VAIN:
            return
        for size in range(2, TOGETHER + 1):
            for several in combinations(relevant[:12], size):
                if size == 2 or several[0].id in self.seen:
                    yield from ((several, single) for single in sizes)


def _changes_nothing(
    case: Case, mutants: Sequence[Mutant], mutated: Mapping[str, Array], reference: Judged
) -> bool:
    """Whether what the mistakes change is of the size of rounding; what loses digits loses fewer here."""
    with np.errstate(all="ignore"):
        loses = any(m.noise is not None and m.noise(case) for m in mutants)
    return not loses and _agree(case, mutated, reference.want, reference, reference.eps / ALLOWED)


def _of_init(case: Case, got: Mapping[str, Array], reference: Judged) -> tuple[list[Mutant], list[str]]:
    """Of random draws each wrong number by itself: a mistake that changes it to what the candidate has."""

    def right(name: str, x: Array) -> bool:
        return _agree(case, {name: x}, reference.want, reference, reference.eps / ALLOWED)

    wrong = {name: x for name, x in got.items() if not right(name, x)}
    explaining: list[Mutant] = []
    for mutant in (m for m in NUMERIC if m.stage == "init"):
        numbers = numbers_with(case, (mutant,), wrong)
        explained = (n for n in numbers if _agree(case, {n: wrong[n]}, numbers, reference, reference.eps))
        if any(not right(n, numbers[n]) for n in explained):
            explaining.append(mutant)
    want = reference.want["Lambda"]
    if "Lambda" in wrong and case.options.get("conj_sym", True) and wrong["Lambda"].shape == (2 * len(want),):
        return explaining, [f"M20: {ALL_WORDS}"]
    return explaining, []


def _divides_by_zero(case: Case, got: Mapping[str, Array]) -> bool:
    at = np.broadcast_to(case.inputs["Lambda"], np.shape(got["gain"]))
    return bool(np.isnan(got["gain"][at == 0]).any())


def _words(mutants: Sequence[Mutant], further: Sequence[str] = (), place: str = "") -> Named:
    places = [PLACES.get(m.id, pipeline_place(m.stage)) for m in mutants]
    sentences = [f"{m.id}: {m.sentence}" for m in mutants]
    return Named((*sentences, *further), min(places, key=PIPELINE.index) if places else place)


_KEPT: dict[tuple[str, tuple[str, ...]], dict[str, Array]] = {}


def numbers_with(case: Case, mutants: Sequence[Mutant], got: Mapping[str, Array]) -> dict[str, Array]:
    """The reference with these mistakes in it, in float64: what the candidate gives; {} where it raises.

    The two precisions of a case have the same inputs, so they share them.
    """
    key = (case.seed, tuple(m.id for m in mutants))
    if key not in _KEPT:
        engine: Engine = SEQUENTIAL
        with ExitStack() as stack, np.errstate(all="ignore"):
            try:
                for mutant in mutants:
                    engine = stack.enter_context(mutant.apply(engine))
                _KEPT[key] = wanted(case, engine, exact=False)
            except Exception:
                _KEPT[key] = {}
    return {name: leaf for name, leaf in _KEPT[key].items() if name in got}


def _agree(
    case: Case, got: Mapping[str, Array], want: Mapping[str, Array], reference: Judged, eps: float,
    mutants: Sequence[Mutant] = (),
) -> bool:  # fmt: skip
    """Whether all numbers are the same within rounding; what is not finite agrees with what is not finite."""
    noise: dict[str, Array] = {}
    with np.errstate(all="ignore"):
        for mutant in mutants:
            noise |= mutant.noise(case) if mutant.noise is not None else {}
    for name, x in got.items():
        y = want.get(name)
        if y is None or x.shape != y.shape:
            return False
        strange, expected = ~np.isfinite(x), ~np.isfinite(y)
        if not np.array_equal(strange, expected):
            return False
        bound = ALLOWED * reference.bounds.get(name, np.zeros(())) + noise.get(name, 0.0)
        ratios = element_ratios(np.where(strange, 0, x), np.where(expected, 0, y), bound, eps)
        if ratios.size and float(np.max(ratios)) > 1:
            return False
    return True
