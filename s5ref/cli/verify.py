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
NAMING = 0.9  # the share of mutants that must be named

EXAMPLES = """\
  s5ref verify
  s5ref verify --engine numba --json
"""


def parser() -> Parser:
    p = Parser("verify", __doc__ or "", "[--level quick|full] [--engine E] [--mutants] [--json]", EXAMPLES)
    p.add_argument(
        "--level",
        metavar="quick|full",
        type=options.one_of("quick", "full"),
        default="quick",
        help="quick: under a minute (default); full: with certified enclosures, some minutes",
    )
    p.add_argument(
        "--engine", metavar="|".join(NAMES), type=options.one_of(*NAMES),
        help="check this engine only (default: every CPU engine)",
    )  # fmt: skip
    p.add_argument(
        "--mutants", action="store_true",
        help="test the tester: plant every known mistake of S5 ports, and see it caught and named",
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
    """Exit code 0: every mutant was killed, and at least 90 % were named."""
    from s5ref.verification.mutants import run_mutants

    found = run_mutants()
    rates = {key: getattr(found, key) for key in ("mutants", "killed", "named", "kill_rate", "naming_rate")}
    out.result(rates | {"rows": [dataclasses.asdict(row) for row in found.rows]})
    rows = [
        [row.id, row.name, row.stage, row.killed_by, str(row.kills), "yes" if row.named else "NO"]
        for row in found.rows
    ]
    out.table(["mutant", "mistake", "stage", "first killed by", "kills", "named"], rows, right=["kills"])
    out.say(f"{found.killed} of {found.mutants} mutants killed, {found.named} named at the right stage")
    return DONE if found.kill_rate == 1 and found.naming_rate >= NAMING else NO


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
