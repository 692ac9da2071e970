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
        "inaccurate": "THE AUTHORS' S5, with known inaccuracies of theirs and no other difference",
        "differs": "DIFFERS from S5",
        "broken": "BROKEN: it does not answer as it should",
        "nothing ran": "NOTHING RAN: no case applies to it",
    }[result.verdict]
    if result.verdict == "broken" and all(o.backward for o in result.of("failed")) and not result.broken:
        words = "BROKEN in its backward pass: every value is S5's but for rounding"
    first = result.first
    if first is None and result.count("xpass"):
        words = f"DIFFERS from its capability file: {result.count('xpass')} expected failures pass"
    if result.broken:
        return f"{words} ({result.broken})"
    if result.forms:
        words += "; it has another form of S5, of which it should say so"
    if first is not None:
        return f"{words}; first at {first.where} ({size(first)})"
    return words


def size(outcome: Outcome) -> str:
    """Why an outcome failed, in a few words."""
    worst = outcome.worst
    if worst is None or (outcome.fault and not outcome.wrong):
        return str(outcome.fault)
    further = f"; {outcome.fault}" if outcome.fault else ""
    if worst.fault:
        return f"{worst.output}: {worst.fault}{further}"
    return f"{worst.output}{list(worst.index)} is {ratio(worst)} times the rounding it may have{further}"


def ratio(m: Measured) -> str:
    return "∞" if m.ratio == float("inf") else f"{m.ratio:.3g}"


def stage_rows(result: Result) -> Iterator[list[str]]:
    """Stage by stage, values and then cotangents: how many cases, the worst ratio, where, rounding or not."""
    for stage in (*ORDER, "behaviour", "audit"):
        of_stage = [o for o in result.outcomes if o.stage == stage]
        asked = [o for o in of_stage if o.status != "unsupported"]
        ran = f"{len(asked)} of {len(of_stage)}"
        if of_stage and not asked:
            yield [stage, ran, "", "", "not asked"]
        for backward in (False, True) if asked else ():
            measures = [(m, o) for o in asked for m in o.measures if m.cotangent == backward]
            fault = next((o for o in asked if o.fault), None)
            if measures:
                m, o = max(measures, key=lambda pair: pair[0].ratio)
                name = f"{stage}: cotangents" if backward else stage
                where = f"{m.output}{list(m.index) if m.index else ''} of {o.id}"
                good = all(m.rounding for m, _ in measures)
                yield [name, ran, ratio(m), where, "rounding-sized" if good else "NOT rounding"]
            elif fault is not None and not backward:
                yield [stage, ran, "", fault.id, fault.fault]
            elif stage == "behaviour" and not backward:
                yield [stage, ran, "", "", "as it must be"]


def mistakes(result: Result) -> Iterator[str]:
    """Each named mistake with the number of cases that it explains, and the first of them."""
    for name, outcomes in result.mistakes.items():
        wrong = result.count("failed") + result.count("xfail")
        yield f"  {name}"
        yield f"       explains {len(outcomes)} of {wrong}, first {outcomes[0].id}"


def forms(result: Result) -> Iterator[str]:
    """What is another form of S5 and no mistake."""
    for words, outcomes in result.forms.items():
        yield f"  {words}"
        yield f"       seen in {len(outcomes)}, first {outcomes[0].id}"


def failures(result: Result) -> Iterator[str]:
    """What failed, a line each, and how to ask it again."""
    failed = [*result.of("xpass"), *result.of("failed")]
    for o in failed[:SHOWN]:
        passes = f"passes, though the capability file expects it to fail ({o.reason})"
        yield f"  {o.id}: {passes if o.status == 'xpass' else size(o)}"
        if o.status == "failed" and o.coarser:
            yield f"       it behaves like rounding in {o.coarser}, and is of its size"
    if len(failed) > SHOWN:
        yield f"  … and {len(failed) - SHOWN} more (--json or --html lists them)"
    first = result.first
    if first is not None and first.stage != "audit":
        yield f"  again: {result.replay(first)}"


def smallest(result: Result) -> Iterator[str]:
    """Differences on few numbers: in words each, and the first that can be shown by it as a test."""
    found = [o.smallest for o in result.outcomes if o.smallest is not None]
    for one in found:
        yield f"  {one.words}"
    test = next((one.test for one in found if one.test), "")
    if test:
        yield "  as a test:\n"
        yield test.rstrip("\n")


def traces(result: Result) -> Iterator[str]:
    """What the candidate raised and printed where it failed; the same text once."""
    shown: set[str] = set()
    for o in result.of("failed"):
        if o.trace and o.trace not in shown:
            shown.add(o.trace)
            yield f"  {o.id}:"
            yield from (f"    {line}" for line in o.trace.splitlines())


def unsupported(result: Result) -> Iterator[str]:
    """What was not asked, by reason."""
    for reason, count in Counter(o.reason for o in result.of("unsupported")).most_common():
        yield f"  {count:>3}  {reason}"


def environment(result: Result) -> str:
    """Versions, and below them the machine."""
    machine = result.machine
    versions = {name: v for name, v in machine.items() if name in ("s5ref", "numpy", "python")}
    shown = " · ".join(f"{name} {version}" for name, version in (versions | result.versions).items())
    return f"{shown}\n{machine['system']} · {machine['processor']} · {machine['cpu_flags']}"
