"""``s5ref scoreboard``: what came of checks, implementation by implementation, from the records that
``s5ref check --record`` made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, Output
from s5ref.errors import suggest
from s5ref.files import write_atomically

EXAMPLES = """\
  s5ref scoreboard                               README.md and index.html of docs/scoreboard, from its records
  s5ref scoreboard --as-issue lrnnx-lti          the findings of one implementation, as texts of issues
  s5ref scoreboard --as-issue lrnnx-lti#ID       one of them
"""


def parser() -> Parser:
    p = Parser("scoreboard", __doc__ or "", "[FOLDER] [--as-issue NAME[#ID]] [--json]", EXAMPLES)
    where = "where the records are, and where the pages go (default: docs/scoreboard)"
    option(p, "folder", "FOLDER", where, nargs="?", type=Path, default=Path("docs/scoreboard"))
    option(p, "--as-issue", "NAME[#ID]", "print findings as texts for their authors, and write nothing")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.verification.conformance.scoreboard import render
    from s5ref.verification.conformance.scoreboard.issue import issue
    from s5ref.verification.conformance.scoreboard.record import records

    kept = records(args.folder)
    if args.as_issue is None:
        for name, text in (("README.md", render.markdown(kept)), ("index.html", render.page(kept))):
            write_atomically(args.folder / name, text.encode())
            out.say(f"  written   {args.folder / name}")
        out.result({name: ones[0]["headline"] for name, ones in kept.items()})
        return DONE
    name, _, wanted = args.as_issue.partition("#")
    if name not in kept:
        parser().error(f"--as-issue {name}: no record. {suggest(name, list(kept))}".rstrip())
    found = [f for f in kept[name][0]["findings"] if wanted in ("", f["id"])]
    if wanted and not found:
        ids = [f["id"] for f in kept[name][0]["findings"]]
        parser().error(f"--as-issue {args.as_issue}: no such finding; there are {', '.join(ids)}")
    texts = [issue(kept[name][0], finding) for finding in found]
    out.result({"issues": texts})
    out.say("\n\n".join(texts))
    return DONE
