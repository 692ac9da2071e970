"""What a check found: an outcome for every case, the verdict, and where the candidate first diverges."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from s5ref.verification.conformance.kit.compare import Measured

STATUSES = ("passed", "failed", "xfail", "xpass", "unsupported")
ORDER = ("init", "discretize", "scan", "ssm", "step", "layer", "model", "update")
PIPELINE = (
    "init", "discretise", "Bu", "scan", "C/D", "ssm", "step", "activation", "gate", "norm", "layer", "pool",
    "head", "loss", "model", "update",
)  # fmt: skip


def pipeline_place(stage: str) -> str:
    """The name of a stage in the pipeline."""
    return "discretise" if stage == "discretize" else stage


@dataclass(frozen=True)
class Outcome:
    """One case. ``fault`` says why there are no numbers: it raised, died, hung, or returned another form."""

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
    place: str = ""  # the stage of the pipeline that they point at
    seconds: float = 0.0
    trace: str = ""  # what the candidate raised and printed

    @property
    def worst(self) -> Measured | None:
        """The first output that is off by more than rounding, values first; else the largest ratio."""
        ordered = sorted(self.measures, key=lambda m: m.cotangent)
        wrong = next((m for m in ordered if not m.rounding), None)
        return wrong or max(self.measures, key=lambda m: m.ratio, default=None)

    @property
    def broken(self) -> bool:
        """Whether it failed without a number that could be compared. A named fault is a finding."""
        faults = [m.fault for m in self.measures]
        incomparable = bool(faults) and all(fault not in ("", "NaN") for fault in faults)
        return bool(self.fault and not self.names) or incomparable

    @property
    def wrong_cotangent(self) -> str:
        """The worst output, if it is a cotangent that is off by more than rounding; else ""."""
        worst = self.worst
        return worst.output if worst is not None and worst.cotangent and not worst.rounding else ""

    @property
    def where(self) -> str:
        """The stage of the pipeline at which it goes wrong, in words."""
        place = self.place or pipeline_place(self.stage)
        return f"cotangent of {self.wrong_cotangent[1:]} in {place}" if self.wrong_cotangent else place


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
        """agrees, differs, broken, or nothing ran. An expected failure that passes is a difference."""
        if self.broken:
            return "broken"
        if self.ran == 0:
            return "nothing ran"
        failed = list(self.of("failed"))
        if any(not o.broken for o in failed) or self.count("xpass"):
            return "differs"
        return "broken" if failed else "agrees"

    @property
    def first(self) -> Outcome | None:
        """The first diverging case in the order of a computation: values before cotangents, faults last."""

        def key(o: Outcome) -> tuple[bool, bool, int]:
            place = o.place or pipeline_place(o.stage)
            index = PIPELINE.index(place) if place in PIPELINE else len(PIPELINE)
            return o.broken, bool(o.wrong_cotangent), index

        return min(self.of("failed"), key=key, default=None)

    @property
    def mistakes(self) -> dict[str, list[Outcome]]:
        """{mistake: the cases that it explains}, the one that explains most first."""
        explained: dict[str, list[Outcome]] = {}
        for outcome in self.of("failed", "xfail"):
            for name in outcome.names:
                explained.setdefault(name, []).append(outcome)
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
        "outputs": [
            {
                "output": m.output, "ratio": m.ratio, "rounding_sized": m.rounding, "index": list(m.index),
                "got": _number(m.got), "want": _number(m.want), "fault": m.fault or None,
                "rounding_in": m.coarser or None,
            }
            for m in o.measures
        ],
    }  # fmt: skip


def _number(z: complex) -> Any:
    return [z.real, z.imag] if isinstance(z, complex) and z.imag else float(complex(z).real)
