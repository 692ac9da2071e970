"""``s5ref check``: judge an implementation of S5: rounding or a mistake, where first, and which mistake.

Exit code 0: it agrees.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli.options import Parser, flag, option
from s5ref.cli.output import DONE, NO, Output, live
from s5ref.cli.units import clock
from s5ref.files import write_atomically

if TYPE_CHECKING:
    from s5ref.verification.conformance.kit.result import Outcome, Result


EXAMPLES = """\
  s5ref check my_s5:MyS5                      a class or object of a module, also of this folder
  s5ref check ./my_s5                         a program in any language (docs/conformance.md)
  s5ref check s5-pytorch --html report.html   the package from PyPI, as a page
  s5ref check numba --only 'scan/*'           some cases, or one by its id
  s5ref check popjaxrl --repo ~/popjaxrl      a checkout of a repository that --list names
"""


def parser() -> Parser:
    from s5ref.verification.conformance.kit.targets import BUILT_IN

    p = Parser("check", __doc__ or "", "TARGET [--only PATTERN] [--html FILE] [--json]", EXAMPLES)
    words = f"{', '.join(BUILT_IN)}, a name of --list, module:object or ./program"
    option(p, "target", "TARGET", words, nargs="?")
    flag(p, "--list", "the implementations that have an adapter: repository, commit tried, what came of it")
    option(p, "--repo", "PATH", "the candidate's repository (default: the current folder)", type=Path)
    option(p, "--only", "PATTERN", "the case of that id, or those that match (scan/*)")
    flag(p, "--values-only", "ask for no gradients")
    flag(p, "--trace", "show what the candidate raised and printed in the cases that fail")
    option(p, "--html", "FILE", "write a report that needs nothing else to be looked at", type=Path)
    option(p, "--junit", "FILE", "write the cases as JUnit XML", type=Path)
    option(p, "--badge", "FILE", "write the verdict as an endpoint of shields.io", type=Path)
    option(p, "--record", "FOLDER", "keep the run for `s5ref scoreboard`, by its commit", type=Path)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    if args.list:
        return _list(out)
    if args.target is None:
        parser().error("the following arguments are required: TARGET")
    from s5ref.verification.conformance.kit.run import Interrupted, check
    from s5ref.verification.conformance.kit.targets import checked

    for name in ("html", "junit", "badge"):
        file = getattr(args, name)
        if file and not file.parent.is_dir():
            raise FileNotFoundError(f"--{name} {file}: the folder {file.parent} does not exist")
    if args.record is not None and (args.only or args.values_only):
        parser().error("--record keeps whole checks: leave --only and --values-only out")
    stage = ""

    def see(outcome: Outcome) -> None:
        """A line at the terminal where a stage begins."""
        nonlocal stage
        if outcome.stage != stage and outcome.status != "unsupported" and live(sys.stderr):
            stage = outcome.stage
            out.note(f"{stage} …")

    target, folder = checked(args.target, args.repo), args.repo
    code = None
    try:
        result = check(target, args.only, see, folder, gradients=not args.values_only)
    except Interrupted as stop:
        number = signal.Signals(stop.args[0] if stop.args else signal.SIGINT)
        result, code = stop.result, 128 + number
        out.note(f"s5ref: interrupted by {number.name} after {len(result.outcomes)} cases.")
    result = replace(result, repository=str(folder or ""))
    _say(result, args, out)
    _write(result, args, out)
    if args.record is not None and code is None:
        from s5ref.verification.conformance.scoreboard.record import keep

        out.note(f"record: {keep(result, args.record, args.repo)}")
    return code or (DONE if result.verdict == "agrees" else NO)


def _say(result: Result, args: argparse.Namespace, out: Output) -> None:
    from s5ref.verification.conformance.kit import console
    from s5ref.verification.conformance.kit.result import as_json

    out.result(as_json(result))
    out.say(f"{args.target}: {console.verdict_line(result)}")
    out.say()
    titles = ("stage", "ran", ">worst", "where", "")
    out.table([dict(zip(titles, row, strict=True)) for row in console.stage_rows(result)])
    for title, lines in (
        ("named mistakes", list(console.mistakes(result))),
        ("another form of S5, no mistake", list(console.forms(result))),
        ("failed", list(console.failures(result))),
        ("smallest inputs that show it", list(console.smallest(result))),
        ("raised and printed", list(console.traces(result)) if args.trace else []),
        ("not asked", list(console.unsupported(result))),
        ("left running by the candidate, and ended", [f"  {words}" for words in result.left_running]),
    ):
        if lines:
            out.say("\n".join(["", f"{title}:", *lines]))
    out.say(f"\n{result.denominators} ({clock(result.seconds)})")
    out.say(console.environment(result))


def _write(result: Result, args: argparse.Namespace, out: Output) -> None:
    """The files that were asked for."""
    from s5ref.verification.conformance.kit.badge import badge
    from s5ref.verification.conformance.kit.html import page
    from s5ref.verification.conformance.kit.junit import junit

    files: list[tuple[Path | None, str, Callable[[], str]]] = [
        (args.html, "report", lambda: page(result)),
        (args.junit, "cases", lambda: junit(result)),
        (args.badge, "badge", lambda: json.dumps(badge(result))),
    ]
    for file, what, text in files:
        if file is not None:
            write_atomically(file, text().encode())
            out.note(f"{what}: {file}")


def _list(out: Output) -> int:
    from s5ref.verification.conformance.adapters.field import FIELD

    out.result({"implementations": {name: entry._asdict() for name, entry in FIELD.items()}})
    out.table([
        {
            "name": name, "repository": entry.repository, "tried": entry.tried, "framework": entry.framework,
            "then": entry.verdict,
        }
        for name, entry in FIELD.items()
    ])  # fmt: skip
    out.say("Judge one: s5ref check NAME --repo PATH, where PATH is a checkout.")
    return DONE
