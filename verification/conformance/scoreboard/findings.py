"""The failures of a check, gathered into findings, each with the smallest input that shows it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.result import Outcome, Result
from s5ref.verification.conformance.kit.run import Session
from s5ref.verification.conformance.stages import Case, cases
from s5ref.verification.conformance.stages.stage import flat

NUMBERS = 64  # of an input or an output that is kept in a record


def findings(result: Result, session: Session | None = None) -> list[dict[str, Any]]:
    """Failures of the same kind as one finding, in the order of the report.

    Parameters
    ----------
    result : a check
    session : the same candidate, to be asked for smaller inputs; None: the smallest case stands

    Returns
    -------
    list of dict
        ``id`` (an anchor), ``stage``, ``title``, ``where``, ``named``, ``cases``, ``smallest``.
    """
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in result.of("failed", "xfail"):
        groups.setdefault((outcome.stage, _kind(outcome)), []).append(outcome)
    asked = cases() if session is None else session.cases
    by_id = {case.id: case for case in asked if isinstance(case, Case)}
    found: list[dict[str, Any]] = []
    ids: Counter[str] = Counter()
    for (stage, kind), outcomes in groups.items():
        first = min(outcomes, key=lambda o: (o.dtype != "float32", _size(by_id.get(o.id))))
        words = re.sub(r"[^a-z0-9]+", "-", kind.lower())[:40].strip("-")
        ids[words := f"{stage}-{words}"] += 1
        found.append({
            "id": words if ids[words] == 1 else f"{words}-{ids[words]}", "stage": stage, "where": first.where,
            "title": _title(first), "named": [name.partition(":")[0] for name in first.names],
            "cases": [o.id for o in outcomes],
            "smallest": _smallest(by_id.get(first.id), first, session),
        })  # fmt: skip
    return found


def _title(o: Outcome) -> str:
    if o.stage == "audit":
        return f"{o.id.removeprefix('audit/')}: {o.fault}"
    if o.stage == "init" and not (o.names or o.fault) and o.worst is not None and not o.worst.fault:
        return f"{o.worst.output} is {o.worst.got.real:.4g}, and {o.worst.want.real:.4g} on average in S5"
    return " and ".join((*o.names, *o.forms)) or console.size(o)


def _kind(o: Outcome) -> str:
    """What failures have in common: the mistakes, the words of what was raised, or the place."""
    if o.forms:
        return " ".join(o.forms)
    if o.names:
        return " ".join(name.partition(":")[0] for name in o.names)
    if o.fault:
        return re.sub(r"\d+", "", o.fault)[:60]
    return str(o.where if o.stage != "behaviour" else o.id)


def _size(case: Case | None) -> float:
    return math.inf if case is None else sum(np.size(x) for x in flat(case.inputs).values())


def _smallest(case: Case | None, outcome: Outcome, session: Session | None) -> dict[str, Any] | None:
    """Inputs, options, and the wrong output of the smallest question; None where there are no inputs."""
    if case is None or not case.inputs:
        return None
    measure, said, smallest = outcome.worst, outcome.fault, outcome.smallest
    shown: tuple[Any, Any] | None = None if measure is None else (measure.got, measure.want)
    if measure is None or measure.fault not in ("", "NaN"):
        shown, said = None, said or (measure.fault if measure else "")
    elif smallest is None and session is not None:
        smallest = session.smallest(case, measure)
    if smallest is not None:
        case, shown = smallest.case, (smallest.got, smallest.want)
    return {
        "case": case.id, "stage": case.stage, "dtype": case.dtype, "options": dict(case.options),
        "inputs": {name: listed(x) for name, x in flat(case.inputs).items() if np.size(x) <= NUMBERS},
        "output": measure.output if measure is not None else "", "said": said,
        "got": None if shown is None else listed(shown[0]),
        "want": None if shown is None else listed(shown[1]),
    }  # fmt: skip


def listed(x: Any) -> Any:
    """An array as lists; complex numbers as [re, im], under the key ``complex``; "nan" and "inf" as words,
    for which JSON has no numbers.
    """
    x = np.asarray(x)
    if x.dtype.kind == "c":
        return {"complex": listed(np.stack([x.real, x.imag], -1))}
    if x.dtype.kind == "f":
        return _finite(x.astype(np.float64).tolist())
    return x.tolist()


def _finite(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_finite(number) for number in numbers]
    return numbers if math.isfinite(numbers) else str(numbers)


def array_of(listed: Any) -> Any:
    """The inverse."""
    if isinstance(listed, dict):
        return np.ascontiguousarray(array_of(listed["complex"]), float).view(complex)[..., 0]
    x = np.asarray(listed)
    return x.astype(np.float64) if x.dtype.kind == "U" else x


def cell(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """A stage in the matrix: ``kind``, ``named`` and how many of how many passed.

    kind : one of `KINDS`; of several the last of these
    """
    asked = [o for o in outcomes if o.status != "unsupported"]
    failed = [o for o in asked if o.status in ("failed", "xfail", "xpass")]
    named = sorted({name.partition(":")[0] for o in failed for name in o.names})
    kinds = {_word(o) for o in failed} or {"right" if asked else "not offered"}
    kind = max(kinds, key=KINDS.index)
    return {"kind": kind, "named": named, "passed": len(asked) - len(failed), "ran": len(asked)}


KINDS = ("not offered", "right", "rounding", "inaccurate", "form", "named", "raises", "wrong")


def _word(o: Outcome) -> str:
    if o.names:
        return "inaccurate" if o.inaccurate else "named"
    if o.forms:
        return "form"
    if o.fault:
        return "raises"
    return "rounding" if o.coarser else "wrong"
