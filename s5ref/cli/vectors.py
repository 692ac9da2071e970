"""``s5ref vectors``: the stored questions and certified answers; a list, or their JSON form for other
languages.

The JSON form is one file per stage with hexadecimal floats; docs/vectors.md says how to read it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, Output

EXAMPLES = """\
  s5ref vectors --only scan/reverse            which vectors there are
  s5ref vectors --json vectors                 all of them as JSON, one file per stage
  s5ref vectors --json                         the list as one JSON object
"""


def parser() -> Parser:
    p = Parser("vectors", __doc__ or "", "[--only PATTERN] [--json [DIR]]", EXAMPLES)
    option(p, "--only", "PATTERN", "ids that hold this; * stands for anything")
    json = "write the JSON form into this folder; without a folder, print the list as JSON"
    option(p, "--json", "DIR", json, nargs="?", const="")
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
    keys = ("id", "stage", "dtype", "level", "features", "catches", "comment")
    listed = [{key: v.facts[key] for key in keys} | {"outputs": list(v.facts["radius"])} for v in chosen]
    out.result({"vectors": listed})
    out.table([{
        "id": v["id"], "level": v["level"], ">outputs": str(len(v["outputs"])),
        "catches": " ".join(v["catches"]), "comment": v["comment"],
    } for v in listed])  # fmt: skip
    out.say(f"{len(chosen)} vectors with {answers} outputs")
    return DONE
