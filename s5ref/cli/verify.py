"""``s5ref verify``: the self-checks. Gradients against directional derivatives, engines against the truth.

Exit code 0: every selected check ran and passed. 1: one did not.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from s5ref.cli import options
from s5ref.cli.options import ENGINES, Parser
from s5ref.cli.output import DONE, NO, Output, clock

if TYPE_CHECKING:
    from s5ref.verification import Row

EVERY = 5.0  # seconds between two lines
NAMES = (*ENGINES, "cuda", "cuda-strict")

EXAMPLES = """\
  s5ref verify
  s5ref verify --engine numba --json
"""


def parser() -> Parser:
    p = Parser("verify", __doc__ or "", "[--level quick|full] [--engine E] [--mutants] [--json]", EXAMPLES)
    levels = "quick: under a minute (default); full: with certified enclosures, some minutes"
    p.add_choice("--level", ("quick", "full"), levels, "quick")
    p.add_choice("--engine", NAMES, "check this engine only (default: every CPU engine)")
    p.add_argument(
        "--mutants", action="store_true",
        help="test the tester: put every known mistake of S5 ports, as a candidate, to `s5ref check`",
    )  # fmt: skip
    options.add_json(p)
    return p


class _Counter:
    """Says now and then how many checks are done, and at once which one failed."""

    def __init__(self, out: Output) -> None:
        self.out, self.ran, self.said = out, 0, time.monotonic()

    def __call__(self, row: Row) -> None:
        self.ran += 1
        if not row.passed:
            self.out.note(f"FAILED  {row.group}: {row.name}, {row.engine} {row.dtype}: {row.detail}")
        elif time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            self.out.note(f"checks done: {self.ran}; the last is {row.group}: {row.name}")


def _mutants(out: Output) -> int:
    """Exit code 0: every mutant that the record calls killed or named was so again."""
    from s5ref.verification.conformance.mutants.run import run_mutants

    found = run_mutants(lambda row: out.note(f"{row.id}: {row.name}"))
    total = len(found.rows)
    rates = {"mutants": total, "killed": found.killed, "named": found.named, "named_alone": found.alone}
    rows = [
        dataclasses.asdict(row)
        | {"killed": row.killed, "named": row.named, "lost": row.lost or None, "gained": row.gained or None}
        for row in found.rows
    ]
    out.result(rates | {"rows": rows})
    table = [
        [row.id, row.name, row.stage, row.killed_by or "nothing", str(row.kills), " ".join(row.names)]
        for row in found.rows
    ]
    out.table(["mutant", "mistake", "stage", "first killed by", "kills", "named"], table, right=["kills"])
    for row in found.rows:
        if row.gained:
            out.say(f"{row.id} is now {row.gained}; the record does not say so yet")
        if row.lost:
            out.say(f"FAILED: {row.id} is no longer {row.lost}, which the record says")
    out.say(
        f"{found.killed} of {total} mutants killed by `s5ref check`, {found.named} named "
        f"({found.alone} of them alone)"
    )
    return NO if any(row.lost for row in found.rows) else DONE


def run(args: argparse.Namespace, out: Output) -> int:
    if args.mutants:
        return _mutants(out)
    from s5ref import verification

    if args.level == "full" and str(args.engine).startswith("cuda") and find_spec("flint") is None:
        out.note("python-flint is not installed: the certified answers are the stored ones alone")
    engines = [options.engine(name) for name in ([args.engine] if args.engine else ENGINES)]
    found = verification.verify(level=args.level, engines=engines, report=_Counter(out))
    rows = [dataclasses.asdict(row) for row in found.rows]
    totals = {key: getattr(found, key) for key in ("selected", "ran", "passed", "failed", "seconds")}
    good = found.failed == 0 and found.selected == found.ran == found.passed > 0
    out.result({"level": args.level, "engines": [e.name for e in engines], **totals, "rows": rows})
    out.table(
        ["group", "check", "engine", "dtype", "measured", "bound", "passed", "detail"],
        [[row["group"], row["name"], row["engine"], row["dtype"], f"{row['measured']:.3g}",
          f"{row['bound']:.3g}",
          "yes" if row["passed"] else "NO", row["detail"] or ""] for row in rows],
        right=["measured", "bound"],
    )  # fmt: skip
    left_out = "" if found.ran == found.selected else f"; {found.selected - found.ran} did not run"
    failed = f"; {found.failed} FAILED" if found.failed else ""
    out.say(
        f"{found.passed} of {found.ran} checks passed, {found.ran} of {found.selected} selected ran"
        f"{failed}{left_out} ({clock(found.seconds)})"
    )
    return DONE if good else NO
