"""``s5ref vectors``: the stored questions and certified answers; a list, or their JSON form for other
languages.

The JSON form is one file per stage with hexadecimal floats; docs/vectors.md says how to read it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, Output

EXAMPLES = """\
  s5ref vectors --only scan/reverse            which vectors there are
  s5ref vectors --json vectors                 all of them as JSON, one file per stage
  s5ref vectors --json                         the list as one JSON object
"""
LIST = ""


def parser() -> Parser:
    p = Parser("vectors", __doc__ or "", "[--only PATTERN] [--json [DIR]]", EXAMPLES)
    p.add_argument("--only", metavar="PATTERN", help="ids that hold this; * stands for anything")
    p.add_argument(
        "--json", metavar="DIR", nargs="?", const=LIST, default=None,
        help="write the JSON form into this folder; without a folder, print the list as JSON",
    )  # fmt: skip
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.verification.conformance import vectors
    from s5ref.verification.conformance.vectors import exchange

    chosen = vectors.load(args.only)
    answers = sum(len(v.want) for v in chosen)
    if args.json:
        folder = Path(args.json).expanduser()
        files = exchange.write(folder, chosen)
        out.result({"folder": str(folder), "files": files, "vectors": len(chosen), "outputs": answers})
        out.say(f"{len(chosen)} vectors with {answers} outputs in {len(files)} files: {folder}")
        return DONE
    facts = [v.facts for v in chosen]
    out.result({
        "vectors": [
            {name: f[name] for name in ("id", "stage", "dtype", "level", "features", "catches", "comment")}
            | {"outputs": list(f["radius"])}
            for f in facts
        ]
    })  # fmt: skip
    out.table(
        ["id", "level", "outputs", "catches", "comment"],
        [[f["id"], f["level"], str(len(f["radius"])), " ".join(f["catches"]), f["comment"]] for f in facts],
        right=["outputs"],
    )
    out.say(f"{len(chosen)} vectors with {answers} outputs")
    return DONE
