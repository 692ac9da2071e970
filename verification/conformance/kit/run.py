"""One candidate through all cases and checks: ask, compare, name; whatever it does, the next is asked."""

from __future__ import annotations

import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import s5ref
from s5ref.engines import SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.machine import processor, simd
from s5ref.verification.conformance.kit import capability
from s5ref.verification.conformance.kit.ask import (
    Lacking,
    in_form,
    in_one_voice,
    message,
    numbers,
    out_of_form,
    refused,
)
from s5ref.verification.conformance.kit.behaviour import Behaviour, as_asked
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.kit.capability import Asked
from s5ref.verification.conformance.kit.compare import TF32, Judged, Measured, judged, measured, wanted
from s5ref.verification.conformance.kit.evidence import is_rounding, off_by
from s5ref.verification.conformance.kit.gradients import FILLED
from s5ref.verification.conformance.kit.localise import place_of
from s5ref.verification.conformance.kit.naming import Namer
from s5ref.verification.conformance.kit.process import Child, Died, Garbled, Hung
from s5ref.verification.conformance.kit.result import BACKWARD, Outcome, Result, pipeline_place, settled
from s5ref.verification.conformance.kit.smallest import Smallest, smallest
from s5ref.verification.conformance.mutants import MUTANTS
from s5ref.verification.conformance.protocol import moving, outputs_of
from s5ref.verification.conformance.stages import Case, cases
from s5ref.verification.conformance.stages.crossed import crossed
from s5ref.verification.conformance.stages.stage import Arrays

CLOSER = 3  # differences at most whose smallest input is looked for
PATIENCE = 3  # hangs of a stage, after which it is not asked again
ARITHMETIC = ("scan", "ssm", "layer", "model", "step")  # stages whose numbers are sums of products
NO_MEMORY = re.compile(r"MemoryError|bad_alloc|allocate|RESOURCE_EXHAUSTED", re.IGNORECASE)
Report = Callable[[Outcome], None]


def check(
    target: str, only: str | None = None, report: Report | None = None, folder: str | Path | None = None,
    questions: Sequence[Asked] | None = None, gradients: bool = True,
) -> Result:  # fmt: skip
    """Judge the candidate that ``target`` names.

    Parameters
    ----------
    target : a built-in name, ``module:object`` or ``./program``
    only : the id of a case, or a pattern of ids; None: all cases
    report : gets each outcome as it lands
    folder : where the candidate's module and its capability file are; None: the current one
    questions : other cases and checks than all that there are
    gradients : whether cotangents are asked for

    Raises
    ------
    S5Error
        For what is the caller's mistake, as `Session`.
    Interrupted
        On Ctrl-C or SIGTERM, with what was found until then.
    """
    session = Session(target, only, folder, questions, gradients)
    try:
        for case in [] if session.broken else session.cases:
            outcome = session.outcome(case)
            if report is not None:
                report(outcome)
        if only is None:
            session.own_checks()
        session.look_closer()
    except KeyboardInterrupt as stop:
        raise Interrupted(session.result(), *stop.args) from stop
    finally:
        session.close()
    return session.result()


class Interrupted(KeyboardInterrupt):
    """A check that was ended by a signal; ``result`` is what it found."""

    def __init__(self, result: Result, *args: Any) -> None:
        super().__init__(*args)
        self.result = result


class Numbers(NamedTuple):
    """What a candidate answers: numbers by name, and what its backward pass raised, in words."""

    named: dict[str, Any]
    backward: str = ""


class Faulty(Exception):
    """The candidate gave no numbers: it raised, died, hung, or returned another form."""


class Session:
    """A candidate, the cases chosen for it, and the checks of its behaviour.

    S5Error for what is the caller's mistake: a pattern that matches nothing, a wrong capability file. The
    candidate's own mistakes are outcomes; ``broken`` says why it could not be loaded.
    """

    def __init__(
        self, target: str, only: str | None = None, folder: str | Path | None = None,
        questions: Sequence[Asked] | None = None, gradients: bool = True,
    ) -> None:  # fmt: skip
        self.start, self.target, self._gradients = time.perf_counter(), target, gradients
        self._said: list[str] = []  # tracebacks and what the candidate printed, of the case that is asked
        folder = Path(folder or os.getcwd())
        self.capabilities = capability.read(folder)
        self.outcomes: list[Outcome] = []
        self._child, self._namer = Child(target, str(folder), self.capabilities.memory_limit), Namer()
        self._hung: Counter[str] = Counter()
        self._places: dict[str, str] = {}  # of the pipeline, by the seed of a case
        self._wrong: dict[str, Case] = {}  # as they were asked, by id, where a number is wrong
        self.described, self.broken = self._loaded()
        try:
            every = self._questions() if questions is None else questions
            capability.check_against(self.capabilities, every)
            self.cases = capability.selected(every, only)
        except S5Error:
            self.close()
            raise

    def _questions(self) -> list[Asked]:
        """All that there are; the options that meet in none of them are crossed as far as it has them."""
        known = list(cases())
        if self.broken:
            return [*known, *BEHAVIOURS]

        def has(case: Case) -> bool:
            asked = (
                in_form(replace(case, dtype=dtype), self.described) for dtype in self.described["dtypes"]
            )
            return any(not refused(case, self.described) for case in asked)

        asked = [in_form(case, self.described) for case in known if has(case)]
        return [*known, *crossed(asked, has), *BEHAVIOURS]

    def _loaded(self) -> tuple[dict[str, Any], str]:
        """What the candidate says of itself, with what its capability file says; why it cannot be loaded."""
        try:
            described = self._child.start()
        except (Died, Hung) as error:
            return {}, f"loading it: {self._limited(str(error))}"
        if not described["ok"]:
            return {}, f"loading it: {self._limited(described['message'])}"
        claimed = self.capabilities
        return in_one_voice({
            **described, "options": described["options"] | claimed.options,
            "gradients": described["gradients"] and self._gradients,
            "features": claimed.features or described["features"],
            "dtypes": described["dtypes"] if claimed.dtypes is None else claimed.dtypes,
        }), ""  # fmt: skip

    def outcome(self, case: Asked) -> Outcome:
        """Put a case, or a check of behaviour, to the candidate."""
        self._said.clear()
        outcome = self._outcome(case)
        outcome = replace(outcome, trace="\n".join(self._said))
        self._hung[case.stage] += outcome.fault.startswith("hung")
        self.outcomes.append(outcome)
        return outcome

    def _outcome(self, case: Asked) -> Outcome:
        if self.broken:
            return _of(case, "failed", fault=self.broken)
        if self._hung[case.stage] >= PATIENCE:
            return _of(case, "failed", fault=f"not asked: {case.stage} hung {PATIENCE} times before")
        try:
            outcome = self._behaviour(case) if isinstance(case, Behaviour) else self._case(case)
        except Lacking as error:
            return _of(case, "unsupported", reason=str(error))
        except Faulty as error:
            outcome = _of(case, "failed", fault=str(error))
        return self._expected(outcome)

    def _expected(self, outcome: Outcome) -> Outcome:
        why = self.capabilities.expected_to_fail(outcome.id)
        if why is None:
            return outcome
        return replace(outcome, status="xfail" if outcome.status == "failed" else "xpass", reason=why)

    def _case(self, asked: Case) -> Outcome:
        start, case = time.perf_counter(), in_form(asked, self.described)
        got, backward = self._put(case)
        try:
            reference = judged(case, TF32 if self.capabilities.tf32 and case.dtype == "float32" else None)
        except S5Error as error:  # only in a form of the candidate
            raise Lacking(f"S5 has no such case in the candidate's form: {error}") from error
        measures = measured(got, reference, case, self._comparable(case, reference, got, not backward))
        good = all(m.rounding for m in measures) and bool(measures) and not backward
        seconds = time.perf_counter() - start
        fault = f"{BACKWARD} {self._limited(backward)}" if backward else ""
        outcome = _of(asked, "passed" if good else "failed", fault)
        outcome = replace(outcome, measures=measures, seconds=seconds)
        if good or not (outcome.wrong or case.stage == "init"):
            return outcome
        if outcome.wrong and case.stage != "init":
            self._wrong[asked.id] = case
        named = self._namer.named(case, got, reference, self._numbers)
        place = named.place or self._place(case, outcome.worst)
        coarser = "" if named.sentences else self._coarser(case, got, reference, outcome)
        return replace(outcome, names=named.sentences, place=place, forms=named.forms, coarser=coarser)

    def _place(self, case: Case, worst: Measured | None) -> str:
        """Where in the pipeline the values go wrong; both precisions do at the same place."""
        place = self._places.get(case.seed) or place_of(case, worst, self._numbers)
        if place:
            self._places[case.seed] = place
        return place

    def _coarser(self, case: Case, got: Mapping[str, Any], reference: Judged, outcome: Outcome) -> str:
        """The arithmetic in which all that is off would be rounding, if it behaves like rounding."""
        off = [m for m in outcome.measures if not m.rounding]
        if case.stage not in ARITHMETIC or any(m.fault or m.ratio * reference.eps > TF32 for m in off):
            return ""
        errors = off_by(got, reference.want, [m.output for m in off])

        right = partial(wanted, engine=SEQUENTIAL)
        return "TF32 or float16" if is_rounding(case, TF32, errors, right, self._numbers) else ""

    def _behaviour(self, check: Behaviour) -> Outcome:
        wrong = {o.stage for o in self.outcomes if o.status in ("failed", "xfail")}
        if check.right and wrong & {check.stage, check.beside}:
            raise Lacking(f"{' or '.join(wrong & {check.stage, check.beside})} is wrong by itself")
        if check.stage not in self.described["stages"]:
            raise Lacking(f"no {check.stage}")
        if check.gradients and not self.described["gradients"]:
            raise Lacking("no gradients")
        start = time.perf_counter()
        try:
            words = check.look(partial(self._answer, check))
        except Faulty as error:
            if check.patient and str(error).startswith("hung"):
                raise Lacking(f"takes longer than {self.capabilities.timeout:g} s") from error
            raise
        seconds = time.perf_counter() - start
        known = f"{check.mistake}: {MUTANTS[check.mistake].sentence}" if check.mistake else words
        names = (known,) if words else ()
        return replace(_of(check, "failed" if words else "passed", words), names=names, seconds=seconds)

    def _answer(
        self, check: Behaviour, inputs: Mapping[str, Any], options: Mapping[str, Any], cotangent: Arrays,
        dtype: str = "", memory: float | None = None, stage: str = "", features: tuple[str, ...] = (),
    ) -> Arrays:  # fmt: skip
        """The candidate as a check of behaviour sees it: `behaviour.Ask`."""
        dtypes = self.described["dtypes"]
        dtype = dtype or ("float64" if "float64" in dtypes or not dtypes else dtypes[0])
        case = Case(
            check.id, stage or check.stage, as_asked(inputs, dtype), options, check.comment, (), check.level,
            (*check.features, *features), dtype, check.id, as_asked(cotangent, dtype),
        )  # fmt: skip
        asked = in_form(case, self.described)
        got, backward = self._put(asked, memory)
        if backward:
            raise Faulty(f"{BACKWARD} {backward}")
        answers = out_of_form({name: np.asarray(leaf) for name, leaf in got.items()}, case, asked)
        lacking = [
            name for name in outputs_of(case.stage, options)
            if not any(path.startswith(name) for path in answers)
            and not (name == "statistics" and (options["norm"] == "layer" or not options["train"]))
        ]  # fmt: skip
        if lacking:
            raise Faulty(f"returned another form: without {', '.join(lacking)}")
        return answers

    def _put(self, case: Case, memory: float | None = None) -> Numbers:
        """The candidate's numbers by name; `Lacking` or `Faulty` where there are none."""
        if reason := refused(case, self.described):
            raise Lacking(reason)
        question = message(case, self.described)
        if memory is not None and self.described["framework"] == "numpy":
            question["further"][FILLED] = memory
        try:
            answer = self._child.call(question, self.capabilities.timeout)
        except Hung as error:
            raise Faulty(f"hung: {error}") from error
        except Garbled as error:
            raise Faulty(str(error)) from error
        except Died as error:
            raise Faulty(self._limited(f"died: {error}")) from error
        finally:
            self._said += filter(None, [self._child.printed()])
        self._said += filter(None, [answer.get("traceback")])
        if not answer["ok"] and answer["kind"] == "lacks":
            raise Lacking(f"{case.stage}: {answer['message']}")
        if not answer["ok"]:
            words = {"raised": "raised", "array": "returned", "form": "returned another form:"}
            raise Faulty(self._limited(f"{words[answer['kind']]} {answer['message']}"))
        try:
            return Numbers(dict(numbers(case, answer)), answer["backward"])
        except Exception as error:
            raise Faulty(f"returned another form: {type(error).__name__}: {error}") from error

    def _limited(self, words: str) -> str:
        """Words that speak of memory say that the limit is the kit's."""
        if self._child.memory is None or not NO_MEMORY.search(words):
            return words
        return (
            f"{words} (the limit of {self._child.memory / 2**30:.3g} GiB is the kit's and no judgement of "
            f"the candidate; memory = GIB in {capability.NAME} changes it)"
        )

    def _numbers(self, case: Case) -> dict[str, Any] | None:
        try:
            return self._put(case).named
        except (Faulty, Lacking):
            return None

    def _comparable(
        self, case: Case, reference: Judged, got: Mapping[str, Any], gradients: bool
    ) -> list[str]:
        """What the candidate can be held to: cotangents only where it has any, draws only of what it drew."""
        names = list(reference.want)
        if case.stage == "init":
            return [name for name in names if name in got]
        if not (gradients and self.described["gradients"]):
            cotangents = {f"d{name}" for name in moving(case.stage, case.inputs)}
            names = [name for name in names if name not in cotangents]
        if not case.options.get("train"):  # running statistics that do not move need not be returned
            names = [name for name in names if not name.startswith("statistics.") or name in got]
        return names

    def own_checks(self) -> None:
        """What the candidate's own ``audit`` says of it: (what, what went wrong or nothing)."""
        if self.broken or not self.described["audit"]:
            return
        try:
            answer = self._child.call({"op": "audit"}, self.capabilities.timeout)
        except (Hung, Died) as error:
            answer = {"ok": False, "message": str(error)}
        for name, words in answer["findings"] if answer["ok"] else [("audit", answer["message"])]:
            status = "failed" if words else "passed"
            outcome = Outcome(f"audit/{name}", "audit", "", "may", "", status, fault=words)
            self.outcomes.append(self._expected(outcome))

    def look_closer(self) -> None:
        """The smallest input of the difference that weighs most, and of the first one of other stages."""
        first = self.result().first
        at = {o.id: i for i, o in enumerate(self.outcomes) if o.status == "failed" and o.id in self._wrong}
        ids = [first.id, *at] if first is not None and first.id in at else [*at]
        chosen = {self.outcomes[at[id_]].stage: id_ for id_ in reversed(ids)}
        for id_ in [id_ for id_ in dict.fromkeys(ids) if id_ in chosen.values()][:CLOSER]:
            outcome = self.outcomes[at[id_]]
            assert outcome.worst is not None
            found = self.smallest(self._wrong[id_], outcome.worst)
            self.outcomes[at[id_]] = replace(outcome, smallest=found)

    def smallest(self, case: Case, worst: Measured) -> Smallest | None:
        """The smallest input with which this number of a case differs."""
        case = in_form(case, self.described)
        return smallest(case, worst, self._numbers, self.target, self.described)

    def result(self) -> Result:
        seconds, versions = time.perf_counter() - self.start, self.described.get("versions", {})
        left = tuple(self._child.left_running)
        return Result(self.target, settled(self.outcomes), versions, seconds, _machine(), self.broken, left)

    def close(self) -> None:
        self._child.close()


def _of(case: Asked, status: str, fault: str = "", reason: str = "") -> Outcome:
    behaves = isinstance(case, Behaviour)
    return Outcome(
        case.id, "behaviour" if behaves else case.stage, case.dtype, case.level, case.comment, status,
        fault=fault, reason=reason, place=pipeline_place(case.stage) if behaves else "",
    )  # fmt: skip


def _machine() -> dict[str, str]:
    """Where a check ran: versions, processor, vector instructions."""
    return {
        "s5ref": s5ref.__version__, "numpy": np.__version__, "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}", "processor": processor(),
        "cpu_flags": " ".join(simd()), "seed": "every case by its own name",
    }  # fmt: skip
