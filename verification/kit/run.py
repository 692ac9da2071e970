"""One candidate through all cases: ask, compare, name; whatever it does, the next case is asked."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s5ref.arrays import Array
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.verification.kit import capability
from s5ref.verification.kit.ask import message, numbers, refused
from s5ref.verification.kit.capability import Capabilities
from s5ref.verification.kit.compare import TF32, Judged, judged, measured
from s5ref.verification.kit.localise import place_of
from s5ref.verification.kit.machine import machine
from s5ref.verification.kit.naming import Namer
from s5ref.verification.kit.process import Child, Died, Hung
from s5ref.verification.kit.result import Outcome, Result
from s5ref.verification.stages import Case, cases

PATIENCE = 3  # hangs of a stage, after which it is not asked again
Report = Callable[[Outcome], None]


class Session:
    """A candidate and the cases chosen for it.

    S5Error for what is the caller's mistake: a pattern that matches nothing, a wrong capability file. The
    candidate's own mistakes are outcomes.
    """

    def __init__(
        self, target: str, only: str | None = None, folder: str | Path | None = None,
        questions: Sequence[Case] | None = None,
    ) -> None:  # fmt: skip
        self.start, self.target = time.perf_counter(), target
        folder = Path(folder or os.getcwd())
        every = list(cases()) if questions is None else list(questions)
        self.capabilities = capability.read(folder)
        capability.check_against(self.capabilities, every)
        self.cases = capability.selected(every, only)
        self.outcomes: list[Outcome] = []
        self._namer = Namer()
        self._child = Child(target, str(folder))
        self._hung: Counter[str] = Counter()
        self.described, self.broken = _loaded(self._child)

    def outcome(self, case: Case) -> Outcome:
        """Put a case to the candidate."""
        if self.broken:
            found = Outcome(
                case.id, case.stage, case.dtype, case.level, case.comment, "failed", fault=self.broken
            )
        elif self._hung[case.stage] >= PATIENCE:
            fault = f"not asked: {case.stage} hung {PATIENCE} times before"
            found = Outcome(case.id, case.stage, case.dtype, case.level, case.comment, "failed", fault=fault)
        else:
            found = Examined(self._child, case, self.capabilities, self._namer).outcome()
            self._hung[case.stage] += found.fault.startswith("hung")
        self.outcomes.append(found)
        return found

    def own_checks(self) -> None:
        """What the candidate checks of itself."""
        if not self.broken and self.described.get("audit"):
            self.outcomes += _own_audit(self._child, self.capabilities)

    def result(self) -> Result:
        seconds = time.perf_counter() - self.start
        return Result(self.target, self.outcomes, self.described, seconds, machine(), self.broken)

    def replay(self, outcome: Outcome) -> str:
        return str(self.result().replay(outcome))

    def close(self) -> None:
        self._child.close()


def check(
    target: str, only: str | None = None, report: Report | None = None, folder: str | Path | None = None,
    questions: Sequence[Case] | None = None,
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


class Lacking(Exception):
    """The candidate raised NotImplementedError."""


class Examined:
    """A case put to a candidate."""

    def __init__(self, child: Child, case: Case, capabilities: Capabilities, namer: Namer) -> None:
        self.child, self.case, self.capabilities, self.namer = child, case, capabilities, namer
        self.described = child.described | {"options": child.described["options"] | capabilities.options}
        if capabilities.dtypes is not None:
            self.described["dtypes"] = capabilities.dtypes
        self.features = capabilities.features or self.described["features"]

    def outcome(self) -> Outcome:
        case = self.case
        reason = refused(case, self.described, self.features)
        if reason:
            return self._of("unsupported", reason=reason)
        start = time.perf_counter()
        reference = judged(case, TF32 if self.capabilities.tf32 and case.dtype == "float32" else None)
        try:
            got, fault = self.put(case)
        except Lacking as error:
            return self._of("unsupported", reason=f"{case.stage}: {error}")
        measures = measured(got, reference, case, self._asked(reference, got)) if got is not None else []
        good = not fault and all(m.rounding for m in measures) and bool(measures)
        outcome = replace(
            self._of("passed" if good else "failed", fault=fault),
            measures=measures,
            seconds=time.perf_counter() - start,
        )
        wrong = [m for m in measures if not m.rounding and m.fault in ("", "NaN")]
        if got is not None and wrong:
            names = self.namer.named(case, got, reference)
            place = names.place or place_of(case, outcome.worst, self.put)
            outcome = replace(outcome, names=names.sentences, place=place)
        return self._expected(outcome)

    def put(self, case: Case) -> tuple[dict[str, Any] | None, str]:
        """(the candidate's numbers by name, or None; why there are none)."""
        question = message(case, self.described["stages"][case.stage], self.described["gradients"])
        try:
            answer = self.child.call(question, self.capabilities.timeout)
        except Hung as error:
            return None, f"hung: {error}"
        except Died as error:
            return None, f"died: {error}"
        if not answer["ok"] and answer["kind"] == "lacks":
            raise Lacking(answer["message"])
        if not answer["ok"]:
            words = {"raised": "raised", "array": "returned", "form": "returned another form:"}
            return None, f"{words[answer['kind']]} {answer['message']}"
        try:
            return numbers(case, answer, _initial(case)), ""
        except Exception as error:
            return None, f"returned another form: {type(error).__name__}: {error}"

    def _asked(self, reference: Judged, got: dict[str, Any]) -> list[str]:
        """What the candidate can be held to: cotangents only where it has any, draws only of what it drew."""
        names = list(reference.want)
        if self.case.stage == "init":
            return [name for name in names if name in got]
        if not self.described["gradients"]:
            names = [name for name in names if name not in _cotangents(self.case, reference)]
        if not self.case.options.get("train"):  # running statistics that do not move need not be returned
            names = [name for name in names if not name.startswith("statistics.") or name in got]
        return names

    def _expected(self, outcome: Outcome) -> Outcome:
        why = self.capabilities.expected_to_fail(self.case.id)
        if why is None:
            return outcome
        return replace(outcome, status="xfail" if outcome.status == "failed" else "xpass", reason=why)

    def _of(self, status: str, fault: str = "", reason: str = "") -> Outcome:
        c = self.case
        return Outcome(c.id, c.stage, c.dtype, c.level, c.comment, status, fault=fault, reason=reason)


def _cotangents(case: Case, reference: Judged) -> set[str]:
    from s5ref.verification.kit.protocol import moving

    return {f"d{name}" for name in moving(case.stage, dict(case.inputs))} & set(reference.want)


def _initial(case: Case) -> dict[str, Array]:
    if case.stage != "init":
        return {}
    from s5ref.verification.stages.forms import joined

    config = {name: value for name, value in case.options.items() if name not in ("seed", "dtype")}
    found: dict[str, Array] = joined(
        Model(ModelConfig(**config)).init(case.options["seed"], case.options["dtype"])[0]
    )
    return found


def _own_audit(child: Child, capabilities: Capabilities) -> list[Outcome]:
    """What the candidate's own ``audit`` says: (what, what went wrong or nothing)."""
    try:
        answer = child.call({"op": "audit"}, capabilities.timeout)
    except (Hung, Died) as error:
        answer = {"ok": True, "findings": [["audit", str(error)]]}
    if not answer["ok"]:
        answer = {"findings": [["audit", answer["message"]]]}
    outcomes = []
    for name, words in answer["findings"]:
        id_ = f"audit/{name}"
        why = capabilities.expected_to_fail(id_)
        status = "failed" if words else "passed"
        if why is not None:
            status = "xfail" if words else "xpass"
        outcomes.append(Outcome(id_, "audit", "", "may", "", status, fault=words, reason=why or ""))
    return outcomes
