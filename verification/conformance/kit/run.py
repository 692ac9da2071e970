"""One candidate through all cases and checks: ask, compare, name; whatever it does, the next is asked."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.verification.conformance.kit import capability
from s5ref.verification.conformance.kit.ask import message, numbers, refused
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS, Behaviour, as_asked
from s5ref.verification.conformance.kit.capability import Asked, Capabilities
from s5ref.verification.conformance.kit.compare import TF32, Judged, judged, measured
from s5ref.verification.conformance.kit.gradients import FILLED
from s5ref.verification.conformance.kit.localise import place_of
from s5ref.verification.conformance.kit.machine import machine
from s5ref.verification.conformance.kit.naming import Namer
from s5ref.verification.conformance.kit.process import Child, Died, Hung
from s5ref.verification.conformance.kit.result import Outcome, Result
from s5ref.verification.conformance.mutants import MUTANTS
from s5ref.verification.conformance.protocol import SIGNATURES, moving
from s5ref.verification.conformance.stages import Case, cases
from s5ref.verification.conformance.stages.forms import joined
from s5ref.verification.conformance.stages.stage import Arrays

PIPELINE_OF = {"discretize": "discretise"}  # a stage's name in the pipeline
PATIENCE = 3  # hangs of a stage, after which it is not asked again
Report = Callable[[Outcome], None]


class Session:
    """A candidate, the cases chosen for it, and the checks of its behaviour.

    S5Error for what is the caller's mistake: a pattern that matches nothing, a wrong capability file. The
    candidate's own mistakes are outcomes.
    """

    def __init__(
        self, target: str, only: str | None = None, folder: str | Path | None = None,
        questions: Sequence[Asked] | None = None,
    ) -> None:  # fmt: skip
        self.start, self.target = time.perf_counter(), target
        folder = Path(folder or os.getcwd())
        every: Sequence[Asked] = questions if questions is not None else [*cases(), *BEHAVIOURS]
        capabilities = capability.read(folder)
        capability.check_against(capabilities, every)
        self.cases = capability.selected(every, only)
        self.outcomes: list[Outcome] = []
        self._child = Child(target, str(folder))
        self._hung: Counter[str] = Counter()
        self.described, self.broken = _loaded(self._child)
        self._examiner = None if self.broken else Examiner(self._child, self.described, capabilities)

    def outcome(self, case: Asked) -> Outcome:
        """Put a case, or a check of behaviour, to the candidate."""
        if self._examiner is None:
            found = _of(case, "failed", fault=self.broken)
        elif self._hung[case.stage] >= PATIENCE:
            found = _of(case, "failed", fault=f"not asked: {case.stage} hung {PATIENCE} times before")
        elif isinstance(case, Behaviour) and case.right and self._wrong(case.stage):
            found = _of(case, "unsupported", reason=f"{case.stage} is wrong by itself")
        else:
            found = self._examiner.outcome(case)
            self._hung[case.stage] += found.fault.startswith("hung")
        self.outcomes.append(found)
        return found

    def _wrong(self, stage: str) -> bool:
        return any(o.stage == stage and o.status in ("failed", "xfail") for o in self.outcomes)

    def own_checks(self) -> None:
        """What the candidate checks of itself."""
        if self._examiner is not None and self.described.get("audit"):
            self.outcomes += self._examiner.own_audit()

    def result(self) -> Result:
        seconds = time.perf_counter() - self.start
        return Result(self.target, self.outcomes, self.described, seconds, machine(), self.broken)

    def replay(self, outcome: Outcome) -> str:
        return str(self.result().replay(outcome))

    def close(self) -> None:
        self._child.close()


def check(
    target: str, only: str | None = None, report: Report | None = None, folder: str | Path | None = None,
    questions: Sequence[Asked] | None = None,
) -> Result:  # fmt: skip
    """Judge the candidate that ``target`` names; ``report`` gets each outcome as it lands."""
    session = Session(target, only, folder, questions)
    try:
        for case in [] if session.broken else session.cases:
            outcome = session.outcome(case)
            if report is not None:
                report(outcome)
        if only is None:
            session.own_checks()
        return session.result()
    finally:
        session.close()


def _loaded(child: Child) -> tuple[dict[str, Any], str]:
    try:
        described = child.start()
    except (Died, Hung) as error:
        return {}, f"loading it: {error}"
    return described, "" if described["ok"] else f"loading it: {described['message']}"


def _of(case: Asked, status: str, fault: str = "", reason: str = "") -> Outcome:
    behaves = isinstance(case, Behaviour)
    return Outcome(
        case.id, "behaviour" if behaves else case.stage, case.dtype, case.level, case.comment, status,
        fault=fault, reason=reason, place=PIPELINE_OF.get(case.stage, case.stage) if behaves else "",
    )  # fmt: skip


class Lacking(Exception):
    """The candidate raised NotImplementedError, or does not claim what it is asked for."""


class Faulty(Exception):
    """The candidate gave no numbers: it raised, died, hung, or returned another form."""


class Examiner:
    """Puts cases and checks of behaviour to a candidate."""

    def __init__(self, child: Child, described: Mapping[str, Any], capabilities: Capabilities) -> None:
        self.child, self.capabilities, self.namer = child, capabilities, Namer()
        self.described = {**described, "options": described["options"] | capabilities.options}
        if capabilities.dtypes is not None:
            self.described["dtypes"] = capabilities.dtypes
        self.features = capabilities.features or self.described["features"]

    def outcome(self, case: Asked) -> Outcome:
        try:
            found = self._behaviour(case) if isinstance(case, Behaviour) else self._case(case)
        except Lacking as error:
            return _of(case, "unsupported", reason=str(error))
        except Faulty as error:
            found = _of(case, "failed", fault=str(error))
        return self._expected(found)

    def _expected(self, found: Outcome) -> Outcome:
        why = self.capabilities.expected_to_fail(found.id)
        if why is None:
            return found
        return replace(found, status="xfail" if found.status == "failed" else "xpass", reason=why)

    def _case(self, case: Case) -> Outcome:
        reason = refused(case, self.described, self.features)
        if reason:
            raise Lacking(reason)
        start = time.perf_counter()
        reference = judged(case, TF32 if self.capabilities.tf32 and case.dtype == "float32" else None)
        got = self.put(case)
        measures = measured(got, reference, case, self._asked(case, reference, got))
        good = all(m.rounding for m in measures) and bool(measures)
        seconds = time.perf_counter() - start
        found = replace(_of(case, "passed" if good else "failed"), measures=measures, seconds=seconds)
        if all(m.rounding or m.fault not in ("", "NaN") for m in measures):
            return found
        names = self.namer.named(case, got, reference)
        place = names.place or place_of(case, found.worst, self._numbers)
        return replace(found, names=names.sentences, place=place)

    def _behaviour(self, check: Behaviour) -> Outcome:
        start = time.perf_counter()
        words = check.look(Asking(self, check))
        mistake, seconds = MUTANTS[check.mistake], time.perf_counter() - start
        names = (f"{mistake.id}: {mistake.sentence}",) if words else ()
        return replace(_of(check, "failed" if words else "passed", words), names=names, seconds=seconds)

    def put(self, case: Case, memory: float | None = None) -> dict[str, Any]:
        """The candidate's numbers by name; `Lacking` or `Faulty` where there are none."""
        question = message(case, self.described["stages"][case.stage], self.described["gradients"])
        if memory is not None and self.described["framework"] == "numpy":
            question["further"][FILLED] = memory
        try:
            answer = self.child.call(question, self.capabilities.timeout)
        except Hung as error:
            raise Faulty(f"hung: {error}") from error
        except Died as error:
            raise Faulty(f"died: {error}") from error
        if not answer["ok"] and answer["kind"] == "lacks":
            raise Lacking(f"{case.stage}: {answer['message']}")
        if not answer["ok"]:
            words = {"raised": "raised", "array": "returned", "form": "returned another form:"}
            raise Faulty(f"{words[answer['kind']]} {answer['message']}")
        try:
            return dict(numbers(case, answer, _initial(case)))
        except Exception as error:
            raise Faulty(f"returned another form: {type(error).__name__}: {error}") from error

    def _numbers(self, case: Case) -> dict[str, Any] | None:
        try:
            return self.put(case)
        except Faulty:
            return None

    def _asked(self, case: Case, reference: Judged, got: dict[str, Any]) -> list[str]:
        """What the candidate can be held to: cotangents only where it has any, draws only of what it drew."""
        names = list(reference.want)
        if case.stage == "init":
            return [name for name in names if name in got]
        if not self.described["gradients"]:
            names = [name for name in names if name not in _cotangents(case, reference)]
        if not case.options.get("train"):  # running statistics that do not move need not be returned
            names = [name for name in names if not name.startswith("statistics.") or name in got]
        return names

    def own_audit(self) -> list[Outcome]:
        """What the candidate's own ``audit`` says: (what, what went wrong or nothing)."""
        try:
            answer = self.child.call({"op": "audit"}, self.capabilities.timeout)
        except (Hung, Died) as error:
            answer = {"ok": True, "findings": [["audit", str(error)]]}
        if not answer["ok"]:
            answer = {"findings": [["audit", answer["message"]]]}
        return [
            self._expected(
                Outcome(f"audit/{name}", "audit", "", "may", "", "failed" if words else "passed", fault=words)
            )
            for name, words in answer["findings"]
        ]


class Asking:
    """A candidate as the checks of behaviour see it (`behaviours.Ask`)."""

    def __init__(self, examiner: Examiner, check: Behaviour) -> None:
        self.examiner, self.check = examiner, check
        dtypes = examiner.described["dtypes"]
        self.dtype = "float64" if "float64" in dtypes or not dtypes else dtypes[0]
        if check.gradients and not examiner.described["gradients"]:
            raise Lacking("no gradients")

    def __call__(
        self, inputs: Mapping[str, Any], options: Mapping[str, Any], cotangent: Arrays, dtype: str = "",
        memory: float | None = None,
    ) -> Arrays:  # fmt: skip
        check, dtype = self.check, dtype or self.dtype
        case = Case(
            check.id, check.stage, as_asked(inputs, dtype), options, check.comment, (), check.level,
            check.features, dtype, check.id, as_asked(cotangent, dtype),
        )  # fmt: skip
        reason = refused(case, self.examiner.described, self.examiner.features)
        if reason:
            raise Lacking(reason)
        found = {name: np.asarray(leaf) for name, leaf in self.examiner.put(case, memory).items()}
        outputs = SIGNATURES[check.stage].outputs
        lacking = [name for name in outputs if not any(path.startswith(name) for path in found)]
        if lacking:
            raise Faulty(f"returned another form: without {', '.join(lacking)}")
        return found


def _cotangents(case: Case, reference: Judged) -> set[str]:
    return {f"d{name}" for name in moving(case.stage, dict(case.inputs))} & set(reference.want)


def _initial(case: Case) -> dict[str, Array]:
    if case.stage != "init":
        return {}
    config = {name: value for name, value in case.options.items() if name not in ("seed", "dtype")}
    found: dict[str, Array] = joined(
        Model(ModelConfig(**config)).init(case.options["seed"], case.options["dtype"])[0]
    )
    return found
