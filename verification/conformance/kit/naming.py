"""The mistakes that explain a candidate's numbers: known ones are put into the reference, alone and together,
until it gives the candidate's numbers within rounding. Where nothing does, nothing is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.verification.conformance.kit.compare import Judged, wanted
from s5ref.verification.conformance.kit.evidence import Put, is_rounding, off_by
from s5ref.verification.conformance.kit.result import PIPELINE, pipeline_place
from s5ref.verification.conformance.mutants import NUMERIC, Mutant
from s5ref.verification.conformance.stages import Case
from s5ref.verification.conformance.stages.audit import SIGMAS
from s5ref.verification.conformance.stages.stage import Arrays
from s5ref.verification.rounding.budget import element_ratios

ALLOWED = 2.0  # times the bound: candidate and mutant err by it each
TOGETHER = 3  # mistakes at most that are tried at once
FEW = 16  # mistakes of which such sets are made
IN_VAIN = 4  # cases that no set of mistakes explains, after which sets of several are not tried again
SINGLE = 2.0**-23
FLOOR = 2.0**-12  # of single precision's bound: an error below it is none of single precision
LOST = 8.0  # times the bound: what a mistake that loses digits must lose to be seen
DRAWS = 5  # of initial parameters, to know how a moment scatters
ZERO_WORDS = "your gain divides by Lambda, which gives NaN where Lambda is 0; it tends to Delta there"
ALL_STATES = (
    "your SSM keeps all P states, none of the conjugate pairs halved; say options = {'conj_sym': False} and "
    "it is asked in that form"
)
SINGLE_WORDS = (
    "your float64 numbers have float32's errors: something inside is computed or stored in single precision"
)
PLACES = {  # of the pipeline, where it says more than the stage of the mutant
    "M20": "C/D", "M36": "C/D", "M40": "C/D", "M31": "activation", "M35": "gate", "M34": "dropout",
    "M27": "norm", "M32": "norm", "M33": "norm", "M52": "norm", "M53": "norm", "M54": "skip", "M66": "norm",
    "M37": "discretise", "M39": "discretise", "M44": "discretise", "M45": "discretise", "M63": "discretise",
    "M64": "discretise", "M68": "clip_eigs", "M75": "clip_eigs", "M46": "scan", "M41": "resets",
    "M42": "resets", "M51": "resets", "M67": "resets", "M49": "initial state",
    "M50": "initial state", "M60": "batch", "M47": "pool", "M61": "pool", "M65": "pool", "M69": "layer",
}  # fmt: skip


class Named(NamedTuple):
    """What explains a case.

    sentences  the mistakes
    place      the first of the pipeline that they concern
    forms      other forms of S5 that the candidate has, which are no mistakes
    """

    sentences: tuple[str, ...] = ()
    place: str = ""
    forms: tuple[str, ...] = ()


@dataclass
class Namer:
    """Names mistakes case by case; those that explained a case are tried first on the next."""

    seen: list[str] = field(default_factory=list)
    of_seed: dict[str, tuple[Mutant, ...]] = field(default_factory=dict)
    in_vain: set[str] = field(default_factory=set)

    def named(self, case: Case, got: Mapping[str, Any], reference: Judged, put: Put) -> Named:
        """The fewest mistakes that explain all numbers of a case, or failing that its values alone.

        ``put`` asks the candidate again, where its errors are of the size of single precision's.
        """
        got = {name: np.asarray(x) for name, x in got.items() if name in reference.want}
        if case.stage == "init":
            return _of_init(case, got, reference)
        values = {name: x for name, x in got.items() if not name.startswith("d")}
        for numbers in [got] if len(values) in (0, len(got)) else [got, values]:
            if _right(case, numbers, reference):  # there is nothing to explain
                continue
            found = self._exactly(case, numbers, reference)
            single = found is None and case.dtype == "float64" and case.seed not in self.in_vain
            if single:  # what float64 shows beyond the mistakes that float32 shows
                found = self._in_single_precision(case, numbers, reference, put)
            if found is not None:
                self.seen += [m.id for m in found if m.id not in self.seen]
                self.of_seed[case.seed] = found
                return _words(found, [f"M28: {SINGLE_WORDS}"] if single else [])
        self.in_vain.add(case.seed)
        if case.stage == "discretize" and _divides_by_zero(case, got):
            return _words((), [f"M18: {ZERO_WORDS}"], "discretise")
        return Named()

    def _exactly(self, case: Case, got: Mapping[str, Array], reference: Judged) -> tuple[Mutant, ...] | None:
        """The mistakes with which the reference gives these numbers."""
        for mutants in self._sets(case, got, reference):
            mutated = numbers_with(case, mutants, got)
            if _agree(case, got, mutated, reference, reference.eps, mutants):
                return mutants
        return None

    def _in_single_precision(
        self, case: Case, got: Mapping[str, Array], reference: Judged, put: Put
    ) -> tuple[Mutant, ...] | None:
        """The mistakes with which the reference gives these numbers but for errors of single precision: of
        its size, and other ones where the inputs are moved a little."""
        for mutants in chain([()], self._sets(case, got, reference)):
            mutated = numbers_with(case, mutants, got)
            if not _agree(case, got, mutated, reference, SINGLE, mutants):
                continue
            off = [
                name for name, x in got.items()
                if not _agree(case, {name: x}, mutated, reference, FLOOR * SINGLE, mutants)
            ]  # fmt: skip
            with_them = partial(numbers_with, mutants=mutants, got=got)
            if is_rounding(case, SINGLE, off_by(got, mutated, off), with_them, put):
                return mutants
        return None

    def _sets(self, case: Case, got: Mapping[str, Array], reference: Judged) -> Iterator[tuple[Mutant, ...]]:
        """Sets of mistakes that change something, in the order of trying: those of the other precision, one
        by one, all that were seen, several together."""
        before = self.of_seed.get(case.seed, ())
        if before and _changes(case, before, got, reference):
            yield before
        may = []
        wrong = _wrong(case, got, reference)
        for mutant in sorted(
            NUMERIC, key=lambda m: self.seen.index(m.id) if m.id in self.seen else len(self.seen)
        ):
            if _changes(case, (mutant,), got, reference):
                yield (mutant,)
                if _values_changed(case, mutant, got, reference) <= wrong:
                    may.append(mutant)
        seen = tuple(mutant for mutant in may if mutant.id in self.seen)
        if len(seen) > 1:  # what made them in other cases makes them here
            yield seen
        if len(self.in_vain) >= IN_VAIN:
            return
        for size in range(2, TOGETHER + 1):
            for several in combinations(may, size):  # those that were seen come first
                known, few = several[0].id in self.seen, several[-1] in may[:FEW]
                own = few and all(mutant.stage == case.stage for mutant in several)
                if (known or few) if size == 2 else (own or (known and few)):
                    yield several


def _right(case: Case, got: Mapping[str, Array], reference: Judged) -> bool:
    return _agree(case, got, reference.want, reference, reference.eps / ALLOWED)


def _wrong(case: Case, got: Mapping[str, Array], reference: Judged) -> set[str]:
    return {name for name, x in got.items() if not _right(case, {name: x}, reference)}


def _changes(case: Case, mutants: Sequence[Mutant], got: Mapping[str, Array], reference: Judged) -> bool:
    """Whether the mistakes change some of these numbers by more than rounding, or lose their digits."""
    mutated = numbers_with(case, mutants, got)
    lost = any(
        bool(np.any(noise > LOST * reference.bounds.get(name, np.zeros(()))))
        for name, noise in _noise(case, mutants).items()
    )
    return bool(mutated) and (lost or not _right(case, mutated, reference))


def _values_changed(case: Case, mutant: Mutant, got: Mapping[str, Array], reference: Judged) -> set[str]:
    """The outputs that a mistake changes whatever comes with it. Two mistakes may undo each other in a
    cotangent, and lost digits may be right by luck."""
    if mutant.noise is not None:
        return set()
    changed = _wrong(case, numbers_with(case, (mutant,), got), reference)
    return {name for name in changed if not name.startswith("d")}


def _of_init(case: Case, got: Mapping[str, Array], reference: Judged) -> Named:
    """The mistakes of which every number that they change is what the candidate has; one by one, and for
    what is left two together."""
    wrong = _wrong(case, got, reference)
    known = [m for m in NUMERIC if m.stage == "init" and _changes(case, (m,), got, reference)]
    explaining: list[Mutant] = []
    left = set(wrong)
    for mutants in chain(combinations(known, 1), combinations(known, 2)):
        if not left:
            break
        changed = _wrong(case, numbers_with(case, mutants, got), reference)
        if changed & left and changed <= wrong and _like_draws(case, mutants, got, changed):
            explaining += [m for m in mutants if m not in explaining]
            left -= changed
    all_states = case.options.get("conj_sym", True) and "Lambda" in wrong and (
        got["Lambda"].shape == (2 * len(reference.want["Lambda"]),)
    )  # fmt: skip
    return _words(explaining)._replace(place="init", forms=(ALL_STATES,) if all_states else ())


def _like_draws(case: Case, mutants: Sequence[Mutant], got: Mapping[str, Array], names: set[str]) -> bool:
    """Whether these numbers of the candidate's draw are among those of draws with the mistakes."""
    others = (
        replace(case, options={**case.options, "seed": k}, seed=f"{case.seed} {k}") for k in range(1, DRAWS)
    )
    draws = [numbers_with(drawn, mutants, got) for drawn in (case, *others)]
    return all(_among(got[name], [draw[name] for draw in draws], case) for name in names)


def _among(x: Array, drawn: Sequence[Array], case: Case) -> bool:
    """Λ is no draw: it may be off by rounding."""
    if any(x.shape != y.shape for y in drawn):
        return False
    mean, spread = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
    rounding = float(np.finfo(case.dtype).eps) * x.size**2 * np.max(np.abs(mean))
    return bool(np.all(np.abs(x - mean) <= SIGMAS * spread + rounding))


def _divides_by_zero(case: Case, got: Mapping[str, Array]) -> bool:
    """Whether the gain is NaN where Λ is 0, and there alone."""
    at = np.broadcast_to(case.inputs["Lambda"] == 0, np.shape(got["gain"]))
    return bool(at.any()) and np.array_equal(np.isnan(got["gain"]), at)


def _words(mutants: Sequence[Mutant], further: Sequence[str] = (), place: str = "") -> Named:
    places = [PLACES.get(m.id, pipeline_place(m.stage)) for m in mutants]
    sentences = [f"{m.id}: {m.sentence}" for m in mutants]
    return Named((*sentences, *further), min(places, key=PIPELINE.index) if places else place)


_KEPT: dict[tuple[str, tuple[str, ...]], dict[str, Array]] = {}


def numbers_with(case: Case, mutants: Sequence[Mutant], got: Mapping[str, Array]) -> dict[str, Array]:
    """The reference with these mistakes in it, in float64: what the candidate gives; {} where it raises.

    The two precisions of a case have the same inputs, so they share them. Mistakes are put in in the order of
    their ids, whichever was found first: of two at one place the later one stands in for the earlier.
    """
    if case.stage == "init":
        case = replace(case, options={**case.options, "dtype": "float64"})
    mutants = sorted(mutants, key=lambda mutant: mutant.id)
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


def _noise(case: Case, mutants: Sequence[Mutant]) -> Arrays:
    """What mistakes that lose digits may be off by, in eps."""
    noise: Arrays = {}
    with np.errstate(all="ignore"):
        for mutant in mutants:
            noise |= mutant.noise(case) if mutant.noise is not None else {}
    return noise


def _agree(
    case: Case, got: Mapping[str, Array], want: Mapping[str, Array], reference: Judged, eps: float,
    mutants: Sequence[Mutant] = (),
) -> bool:  # fmt: skip
    """Whether all numbers are the same within rounding; what is not finite agrees with what is not finite."""
    noise = _noise(case, mutants)
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
