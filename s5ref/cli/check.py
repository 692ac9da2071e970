"""``s5ref check``: judge an implementation of S5: rounding or a mistake, where first, and which mistake.

Exit code 0: it agrees.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, NO, Output, live
from s5ref.cli.units import clock

if TYPE_CHECKING:
    from s5ref.verification.conformance.kit.result import Outcome


EXAMPLES = """\
  s5ref check my_s5:MyS5                      a class or object of a module, also of this folder
  s5ref check ./my_s5                         a program in any language (docs/conformance.md)
  s5ref check s5-pytorch --html report.html   the package from PyPI, as a page
  s5ref check numba --only 'scan/*'           some cases, or one by its id
"""


def parser() -> Parser:
    from s5ref.verification.conformance.kit.targets import BUILT_IN

    p = Parser("check", __doc__ or "", "TARGET [--only PATTERN] [--html FILE] [--json]", EXAMPLES)
    option(p, "target", "TARGET", f"{', '.join(BUILT_IN)}, module:object or ./program")
    option(p, "--only", "PATTERN", "the case of that id, or those that match (scan/*)")
    option(p, "--html", "FILE", "write a report that needs nothing else to be looked at", type=Path)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.verification.conformance.kit import console
    from s5ref.verification.conformance.kit.html import page
    from s5ref.verification.conformance.kit.result import as_json
    from s5ref.verification.conformance.kit.run import check
    from s5ref.verification.conformance.kit.targets import checked

    if args.html and not args.html.parent.is_dir():
        raise FileNotFoundError(f"--html {args.html}: the folder {args.html.parent} does not exist")
    stage = ""

    def see(outcome: Outcome) -> None:
        """A line at the terminal where a stage begins."""
        nonlocal stage
        if outcome.stage != stage and outcome.status != "unsupported" and live(sys.stderr):
            stage = outcome.stage
            out.note(f"{stage} …")

    result = check(checked(args.target), args.only, see)
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
        ("not asked", list(console.unsupported(result))),
        ("left running by the candidate, and ended", [f"  {words}" for words in result.left_running]),
    ):
        if lines:
            out.say("\n".join(["", f"{title}:", *lines]))
    out.say(f"\n{result.denominators} ({clock(result.seconds)})")
    out.say(console.environment(result))
    if args.html:
        args.html.write_text(page(result), encoding="utf-8")
        out.note(f"report: {args.html}")
    return DONE if result.verdict == "agrees" else NO
