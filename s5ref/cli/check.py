"""``s5ref check``: judge another implementation of S5 stage by stage, and name its mistakes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli.options import Parser, add_json
from s5ref.cli.output import DONE, NO, Output, clock, live

if TYPE_CHECKING:
    from s5ref.verification.conformance.kit.result import Outcome


def parser() -> Parser:
    from s5ref.verification.conformance.kit.targets import BUILT_IN

    p = Parser(
        "check",
        "Judge an implementation of S5: rounding or a mistake, where first, and which mistake. Exit code 0 "
        "only if it agrees.",
        "TARGET [--only PATTERN] [--html FILE] [--json]",
        "  s5ref check my_s5:MyS5                      a class or object of a module, also of this folder\n"
        "  s5ref check ./my_s5                         a program in any language (docs/conformance.md)\n"
        "  s5ref check s5-pytorch --html report.html   the package from PyPI, as a page\n"
        "  s5ref check numba --only 'scan/*'           some cases, or one by its id",
    )
    p.add_argument("target", metavar="TARGET", help=f"{', '.join(BUILT_IN)}, module:object or ./program")
    p.add_argument("--only", metavar="PATTERN", help="the case of that id, or those that match (scan/*)")
    p.add_argument("--html", metavar="FILE", help="write a report that needs nothing else to be looked at")
    add_json(p)
    return p


class _Progress:
    """A line at the terminal where a new stage begins; nothing elsewhere."""

    def __init__(self, out: Output) -> None:
        self._out, self._stage = out, ""

    def see(self, outcome: Outcome) -> None:
        if outcome.stage != self._stage and outcome.status != "unsupported" and live(sys.stderr):
            self._stage = outcome.stage
            self._out.note(f"{outcome.stage} …")


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.verification.conformance.kit import console
    from s5ref.verification.conformance.kit.html import page
    from s5ref.verification.conformance.kit.result import as_json
    from s5ref.verification.conformance.kit.run import check
    from s5ref.verification.conformance.kit.targets import checked

    html = Path(args.html) if args.html else None
    if html is not None and not html.parent.is_dir():
        raise FileNotFoundError(f"--html {html}: the folder {html.parent} does not exist")
    progress = _Progress(out)
    result = check(checked(args.target), args.only, progress.see)
    out.result(as_json(result))
    out.say(f"{args.target}: {console.verdict_line(result)}")
    out.say()
    if result.outcomes:
        out.table(["stage", "ran", "worst", "where", ""], list(console.stage_rows(result)), right=["worst"])
    for title, lines in (
        ("named mistakes", list(console.mistakes(result))),
        ("failed", list(console.failures(result))),
        ("not asked", list(console.unsupported(result))),
    ):
        if lines:
            out.say()
            out.say(f"{title}:")
            for line in lines:
                out.say(line)
    out.say()
    out.say(f"{result.denominators} ({clock(result.seconds)})")
    out.say(console.environment(result))
    if html is not None:
        html.write_text(page(result), encoding="utf-8")
        out.note(f"report: {html}")
    return DONE if result.verdict == "agrees" else NO
