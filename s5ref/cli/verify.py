"""``s5ref verify``: the self-checks. Gradients against directional derivatives, engines against the truth.

Exit code 0: every selected check ran and passed. 1: one did not.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from s5ref.cli import options
from s5ref.cli.options import ENGINES, Parser, choice, flag
from s5ref.cli.output import DONE, NO, Output
from s5ref.cli.units import NOTHING, clock, number
from s5ref.errors import ConfigError
from s5ref.terminal import Timer

if TYPE_CHECKING:
    from s5ref.verification import Report, Row

EVERY = 5.0  # seconds between two lines
NAMES = (*ENGINES, "cuda", "cuda-strict")

EXAMPLES = """\
  s5ref verify
  s5ref verify --verbose
  s5ref verify --engine numba --json
  mpirun -n 4 s5ref verify --ranks
"""


def parser() -> Parser:
    p = Parser(
        "verify",
        __doc__ or "",
        "[--level quick|full] [--engine E] [--verbose] [--mutants] [--ranks] [--json]",
        EXAMPLES,
    )
    levels = "quick (default): a minute, or minutes to compile; full: with certified enclosures"
    choice(p, "--level", ("quick", "full"), levels, default="quick")
    choice(p, "--engine", NAMES, "check this engine only (default: every CPU engine)")
    mutants = "test the tester: put every known mistake of S5 ports, as a candidate, to `s5ref check`"
    flag(p, "--mutants", mutants)
    ranks = "under mpirun: models whose batch the ranks share, against one process"
    flag(p, "--ranks", ranks)
    flag(p, "--verbose", "a line for every check (default: for every group of checks)")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    if args.mutants:
        return _mutants(out)
    if args.ranks:
        return _ranks(args, out)
    from s5ref import verification

    if args.level == "full" and str(args.engine).startswith("cuda") and find_spec("flint") is None:
        out.note("python-flint is not installed: the certified answers are the stored ones alone")
    engines = [options.engine(name) for name in ([args.engine] if args.engine else ENGINES)]
    timer, done = Timer(), itertools.count(1)

    def report(row: Row) -> None:
        """Say at once which check failed, and now and then how many are done."""
        ran = next(done)
        if not row.passed:
            out.note(f"FAILED  {row.group}: {row.name}, {row.engine} {row.dtype}: {row.detail}")
        elif timer.due(EVERY):
            out.note(f"checks done: {ran}; the last is {row.group}: {row.name}")

    verified = verification.verify(level=args.level, engines=engines, report=report)
    out.result({"level": args.level, "engines": [e.name for e in engines]} | vars(verified))
    return _said(args, verified, out)


def _ranks(args: argparse.Namespace, out: Output) -> int:
    """Exit code 0: on every rank each result was that of one process, within its budget."""
    from s5ref import mpi
    from s5ref.train.together import together
    from s5ref.verification.report import Report
    from s5ref.verification.selfcheck.ranks import across

    ranks = mpi.world()
    if ranks.size == 1:
        raise ConfigError(
            "verify --ranks compares several processes; it was started with one.",
            "Example: mpirun -n 4 s5ref verify --ranks.",
        )
    out.silent = ranks.rank > 0
    with together(ranks):
        threads = options.share_of_cores(ranks)
        engines = [options.engine(name, threads) for name in ([args.engine] if args.engine else ENGINES)]
        began, rows = time.monotonic(), []
        for row in across(ranks, engines):
            rows.append(row)
            if not row.passed:
                out.note(f"FAILED  {row.name}, {row.engine} {row.dtype}: {row.detail}")
    passed = sum(row.passed for row in rows)
    verified = Report(len(rows), len(rows), passed, len(rows) - passed, time.monotonic() - began, rows)
    out.result({"ranks": ranks.size, "engines": [e.name for e in engines]} | vars(verified))
    return _said(args, verified, out)


def _said(args: argparse.Namespace, verified: Report, out: Output) -> int:
    """Say what was found; the exit code for it."""
    selected, ran, passed, failed = verified.selected, verified.ran, verified.passed, verified.failed
    if args.verbose:
        out.table([{
            "group": row.group, "check": row.name, "engine": row.engine, "dtype": row.dtype,
            ">measured": number(row.measured), ">bound": number(row.bound),
            "passed": "yes" if row.passed else "NO", "detail": row.detail or "",
        } for row in verified.rows])  # fmt: skip
    else:
        out.table(_groups(verified.rows))
    out.say(
        f"{passed} of {ran} checks passed, {ran} of {selected} selected ran"
        + (f"; {failed} FAILED" if failed else "")
        + (f"; {selected - ran} did not run" if ran != selected else "")
        + f" ({clock(verified.seconds)})"
    )
    return DONE if failed == 0 and selected == ran == passed > 0 else NO


def _groups(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for every group: its checks, those that failed, and how near the nearest came to its bound."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return [{
        "group": group, ">checks": str(len(of_group)),
        ">FAILED": str(sum(not row.passed for row in of_group) or NOTHING),
        ">nearest to its bound": number(max((
            row.measured / row.bound for row in of_group if row.bound
        ), default=None)),
        "engines": ", ".join(dict.fromkeys(row.engine for row in of_group)),
    } for group, of_group in groups.items()]  # fmt: skip


def _mutants(out: Output) -> int:
    """Exit code 0: every mutant that the record calls killed or named was so again."""
    from s5ref.verification.conformance.mutants.run import run_mutants

    judged = run_mutants(lambda row: out.note(f"{row.id}: {row.name}"))
    total = len(judged.rows)
    rows = [
        vars(row)
        | {"killed": row.killed, "named": row.named, "lost": row.lost or None, "gained": row.gained or None}
        for row in judged.rows
    ]
    rates = {"mutants": total, "killed": judged.killed, "named": judged.named, "named_alone": judged.alone}
    out.result(rates | {"rows": rows})
    out.table([{
        "mutant": row.id, "mistake": row.name, "stage": row.stage,
        "first killed by": row.killed_by or "nothing", ">kills": str(row.kills),
        "named": " ".join(row.names),
    } for row in judged.rows])  # fmt: skip
    for row in judged.rows:
        if row.gained:
            out.say(f"{row.id} is now {row.gained}; the record does not say so yet")
        if row.lost:
            out.say(f"FAILED: {row.id} is no longer {row.lost}, which the record says")
    out.say(
        f"{judged.killed} of {total} mutants killed by `s5ref check`, {judged.named} named "
        f"({judged.alone} of them alone)"
    )
    return NO if any(row.lost for row in judged.rows) else DONE
