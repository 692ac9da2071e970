"""What a check found: an outcome for every case, the verdict, and where the candidate first diverges."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from s5ref.verification.conformance.kit.compare import Measured
from s5ref.verification.conformance.kit.smallest import Smallest

STATUSES = ("passed", "failed", "xfail", "xpass", "unsupported")
ORDER = ("init", "discretize", "scan", "ssm", "step", "layer", "model", "update")
PIPELINE = (
    "init", "batch", "clip_eigs", "discretise", "initial state", "Bu", "scan", "resets", "backward direction",
    "C/D", "ssm", "step", "activation", "gate", "dropout", "skip", "norm", "layer", "encoder", "pool", "head",
    "loss", "model", "update",
)  # fmt: skip
BACKWARD = "its backward pass raised"  # how a fault begins that leaves the values as they are
AUTHORS = ("M18", "M23")  # inaccuracies of the authors' own code: the gain is computed as it is written
NO_FACTOR = "M20"  # the same numbers as those of the form that keeps all states


def pipeline_place(stage: str) -> str:
    """The name of a stage in the pipeline."""
    return "discretise" if stage == "discretize" else stage


@dataclass(frozen=True)
class Outcome:
    """One case. ``fault`` says why there are no numbers: it raised, died, hung, or returned another form; or
    that there are values alone (`BACKWARD`).
    """

    id: str
    stage: str
    dtype: str
    level: str
    comment: str
    status: str
    measures: list[Measured] = field(default_factory=list)
    fault: str = ""
    reason: str = ""  # of unsupported and xfail
    names: tuple[str, ...] = ()  # the mistakes that explain the numbers
    forms: tuple[str, ...] = ()  # other forms of S5 that they are of
    coarser: str = ""  # the arithmetic in which all that is off would be rounding
    place: str = ""  # the stage of the pipeline that they point at
    smallest: Smallest | None = None  # input that shows it, of a few
    seconds: float = 0.0
    trace: str = ""  # what the candidate raised and printed

    @property
    def worst(self) -> Measured | None:
        """The first output that is off by more than rounding, values first; else the largest ratio."""
        ordered = sorted(self.measures, key=lambda m: m.cotangent)
        wrong = next((m for m in ordered if not m.rounding), None)
        return wrong or max(self.measures, key=lambda m: m.ratio, default=None)

    @property
    def wrong(self) -> bool:
        """Whether a number is off by more than rounding."""
        return any(not m.rounding and m.fault in ("", "NaN") for m in self.measures)

    @property
    def broken(self) -> bool:
        """Whether it failed without a number that is wrong. A named fault is a finding."""
        faults = [m.fault for m in self.measures]
        incomparable = bool(faults) and all(fault not in ("", "NaN") for fault in faults)
        return bool(self.fault and not self.names and not self.wrong) or incomparable

    @property
    def backward(self) -> bool:
        """Whether the values are right, or were never wrong, and something of the gradients is not."""
        return bool(self.wrong_cotangent) or (self.fault.startswith(BACKWARD) and not self.wrong)

    @property
    def inaccurate(self) -> bool:
        """Whether known inaccuracies of the authors' code explain it."""
        return bool(self.names) and all(name.partition(":")[0] in AUTHORS for name in self.names)

    @property
    def wrong_cotangent(self) -> str:
        """The worst output, if it is a cotangent that is off by more than rounding; else ""."""
        worst = self.worst
        return worst.output if worst is not None and worst.cotangent and not worst.rounding else ""

    @property
    def where(self) -> str:
        """The stage of the pipeline at which it goes wrong, in words."""
        place = self.place or pipeline_place(self.stage)
        if self.wrong_cotangent:
            return f"cotangent of {self.wrong_cotangent[1:]} in {place}"
        return f"backward pass of {place}" if self.backward else place


@dataclass(frozen=True)
class Result:
    """A whole check."""

    target: str
    outcomes: list[Outcome]
    versions: dict[str, str]  # of Python and of what the candidate imports
    seconds: float
    machine: dict[str, str]
    broken: str = ""  # why the candidate could not be loaded
    left_running: tuple[str, ...] = ()  # processes that the candidate left in sessions of their own
    repository: str = ""  # the folder that --repo named

    def count(self, status: str) -> int:
        return sum(o.status == status for o in self.outcomes)

    def of(self, *statuses: str) -> Iterator[Outcome]:
        return (o for o in self.outcomes if o.status in statuses)

    @property
    def ran(self) -> int:
        return len(self.outcomes) - self.count("unsupported")

    @property
    def verdict(self) -> str:
        """agrees, inaccurate (as the authors' code is, and nothing else), differs, broken, or nothing ran. An
        expected failure that passes is a difference.
        """
        if self.broken:
            return "broken"
        if self.ran == 0:
            return "nothing ran"
        failed = list(self.of("failed"))
        if failed and all(o.inaccurate for o in failed) and not self.count("xpass"):
            return "inaccurate"
        if any(not o.broken for o in failed) or self.count("xpass"):
            return "differs"
        return "broken" if failed else "agrees"

    @property
    def first(self) -> Outcome | None:
        """What weighs most: a crash of the default configuration, what must hold, what should, crashes
        elsewhere, the authors' known inaccuracies; of these the first in the order of a computation, values
        before gradients.
        """

        def key(o: Outcome) -> tuple[int, bool, bool, int]:
            place = o.place or pipeline_place(o.stage)
            index = PIPELINE.index(place) if place in PIPELINE else len(PIPELINE)
            return self._rank(o), o.broken, o.backward, index

        return min(self.of("failed"), key=key, default=None)

    def _rank(self, o: Outcome) -> int:
        crash = o.broken and bool(o.fault) and not o.backward
        must = o.level == "must"
        if crash and must and o.dtype == self._default:
            return 0
        if o.inaccurate:
            return 4
        if crash:
            return 3
        return 1 if must else 2

    @property
    def _default(self) -> str:
        """The precision of the default configuration: float32, unless it has another one only."""
        asked = {o.dtype for o in self.outcomes if o.status != "unsupported"}
        return "float32" if "float32" in asked else "float64"

    @property
    def mistakes(self) -> dict[str, list[Outcome]]:
        """{mistake: the cases that it explains}, the one that explains most first."""
        return self._explained("names")

    @property
    def forms(self) -> dict[str, list[Outcome]]:
        """{another form of S5 that it has: the cases that show it}."""
        return self._explained("forms")

    def _explained(self, by: str) -> dict[str, list[Outcome]]:
        explained: dict[str, list[Outcome]] = {}
        for outcome in self.of("failed", "xfail"):
            for words in getattr(outcome, by):
                explained.setdefault(words, []).append(outcome)
        return dict(sorted(explained.items(), key=lambda item: -len(item[1])))

    @property
    def counts(self) -> dict[str, int]:
        """How many cases were selected, ran, passed …"""
        counts = {"selected": len(self.outcomes), "ran": self.ran}
        return counts | {status: self.count(status) for status in STATUSES}

    @property
    def denominators(self) -> str:
        return " · ".join(f"{word} {count}" for word, count in self.counts.items())

    def replay(self, outcome: Outcome) -> str:
        at = f" --repo {shlex.quote(self.repository)}" if self.repository else ""
        return f"s5ref check {shlex.quote(self.target)}{at} --only {shlex.quote(outcome.id)}"


def settled(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes, once all are there: where initialisation has shown that all states are kept, it is that form
    which a missing factor 2 means, and no mistake."""
    forms = tuple(dict.fromkeys(words for o in outcomes for words in o.forms))
    if not forms:
        return list(outcomes)

    def one(o: Outcome) -> Outcome:
        names = tuple(name for name in o.names if not name.startswith(f"{NO_FACTOR}:"))
        return o if names == o.names else replace(o, names=names, forms=forms)

    return [one(o) for o in outcomes]


def as_json(result: Result) -> dict[str, Any]:
    """The result in JSON's terms; docs/conformance.md lists the keys."""
    first = result.first
    return {
        "verdict": result.verdict,
        "target": result.target,
        "first_divergence": None if first is None else _outcome(first) | {"replay": result.replay(first)},
        "named_mistakes": [
            {"mistake": name, "cases": [o.id for o in outcomes], "where": sorted({o.where for o in outcomes})}
            for name, outcomes in result.mistakes.items()
        ],
        "forms": [{"form": words, "cases": [o.id for o in shown]} for words, shown in result.forms.items()],
        **result.counts,
        "unsupported_cases": {o.id: o.reason for o in result.of("unsupported")},
        "cases": [_outcome(o) for o in result.outcomes if o.status != "unsupported"],
        "broken": result.broken or None,
        "left_running": list(result.left_running),
        "versions": result.versions,
        "machine": result.machine,
        "seconds": round(result.seconds, 3),
    }


def _outcome(o: Outcome) -> dict[str, Any]:
    return {
        "id": o.id, "stage": o.stage, "dtype": o.dtype, "level": o.level, "status": o.status,
        "where": o.where, "fault": o.fault or None, "reason": o.reason or None, "named": list(o.names),
        "forms": list(o.forms), "rounding_in": o.coarser or None,
        "smallest": None if o.smallest is None else {"words": o.smallest.words, "test": o.smallest.test},
        "outputs": [
            {
                "output": m.output, "ratio": m.ratio, "rounding_sized": m.rounding, "index": list(m.index),
                "got": _number(m.got), "want": _number(m.want), "fault": m.fault or None,
            }
            for m in o.measures
        ],
    }  # fmt: skip


def _number(z: complex) -> Any:
    return [z.real, z.imag] if isinstance(z, complex) and z.imag else float(complex(z).real)
