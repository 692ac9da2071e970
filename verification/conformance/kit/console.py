"""A check in the words of a terminal: verdict, stages, mistakes, failures, what was not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from s5ref.verification.conformance.kit.compare import Measured
from s5ref.verification.conformance.kit.result import ORDER, Outcome, Result

SHOWN = 12  # failures that are listed


def verdict_line(result: Result) -> str:
    """The verdict first, with the reason in the same line."""
    words = {
        "agrees": "AGREES with S5: every difference is of the size of rounding",
        "differs": "DIFFERS from S5",
        "broken": "BROKEN: it does not answer as it should",
        "nothing ran": "NOTHING RAN: no case applies to it",
    }[result.verdict]
    first = result.first
    if first is None and result.count("xpass"):
        words = f"DIFFERS from its capability file: {result.count('xpass')} expected failures pass"
    if result.broken:
        return f"{words} ({result.broken})"
    if first is not None:
        return f"{words}; first at {first.where} ({size(first)})"
    return words


def size(outcome: Outcome) -> str:
    """Why an outcome failed, in a few words."""
    worst = outcome.worst
    if outcome.fault or worst is None:
        return str(outcome.fault)
    if worst.fault:
        return f"{worst.output}: {worst.fault}"
    return f"{worst.output}{list(worst.index)} is {ratio(worst)} times the rounding it may have"


def ratio(m: Measured) -> str:
    return "∞" if m.ratio == float("inf") else f"{m.ratio:.3g}"


def stage_rows(result: Result) -> Iterator[list[str]]:
    """Stage by stage, values and then cotangents: how many cases, the worst ratio, where, rounding or not."""
    for stage in [s for s in (*ORDER, "behaviour", "audit") if any(o.stage == s for o in result.outcomes)]:
        asked = [o for o in result.outcomes if o.stage == stage and o.status != "unsupported"]
        total = sum(o.stage == stage for o in result.outcomes)
        if not asked:
            yield [stage, f"0 of {total}", "", "", "not asked"]
            continue
        for backward in (False, True):
            found = [(m, o) for o in asked for m in o.measures if m.cotangent == backward]
            faults = [o for o in asked if o.fault]
            if found:
                m, o = max(found, key=lambda pair: pair[0].ratio)
                name = f"{stage}: cotangents" if backward else stage
                good = all(m.rounding for m, _ in found)
                where = f"{m.output}{list(m.index) if m.index else ''} of {o.id}"
                yield [
                    name,
                    f"{len(asked)} of {total}",
                    ratio(m),
                    where,
                    "rounding-sized" if good else "NOT rounding",
                ]
            elif faults and not backward:
                yield [stage, f"{len(asked)} of {total}", "", faults[0].id, faults[0].fault]
            elif stage == "behaviour" and not backward:
                yield [stage, f"{len(asked)} of {total}", "", "", "as it must be"]


def mistakes(result: Result) -> Iterator[str]:
    """Each named mistake with the number of cases that it explains, and the first of them."""
    for name, outcomes in result.mistakes.items():
        wrong = result.count("failed") + result.count("xfail")
        yield f"  {name}"
        yield f"       explains {len(outcomes)} of {wrong}, first {outcomes[0].id}"


def failures(result: Result) -> Iterator[str]:
    """What failed, a line each, and how to ask it again."""
    failed = [*result.of("xpass"), *result.of("failed")]
    for o in failed[:SHOWN]:
        what = (
            f"passes, though the capability file expects it to fail ({o.reason})"
            if o.status == "xpass"
            else size(o)
        )
        yield f"  {o.id}: {what}"
        if o.status == "failed" and o.worst is not None and o.worst.coarser and not o.names:
            yield f"       of the size of rounding in {o.worst.coarser}"
    if len(failed) > SHOWN:
        yield f"  … and {len(failed) - SHOWN} more (--json or --html lists them)"
    first = result.first
    if first is not None and first.stage != "audit":
        yield f"  again: {result.replay(first)}"


def unsupported(result: Result) -> Iterator[str]:
    """What was not asked, by reason."""
    for reason, count in Counter(o.reason for o in result.of("unsupported")).most_common():
        yield f"  {count:>3}  {reason}"


def environment(result: Result) -> str:
    versions = {**result.machine, **result.described.get("versions", {})}
    shown = [
        f"{name} {versions[name]}"
        for name in versions
        if name not in ("cpu_flags", "processor", "seed", "system")
    ]
    machine = result.machine
    return f"{' · '.join(shown)}\n{machine['system']} · {machine['processor']} · {machine['cpu_flags']}"
