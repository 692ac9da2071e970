"""``s5ref compare``: several runs beside each other: what differs, what came of it, their curves."""

from __future__ import annotations

import argparse

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, Output
from s5ref.errors import ConfigError

EXAMPLES = """\
  s5ref compare runs/digits-1 runs/digits-2
  s5ref compare runs/* --html runs.html          all curves on one plot
"""


def parser() -> Parser:
    p = Parser("compare", __doc__ or "", "RUN RUN… [options]", EXAMPLES)
    option(
        p, "runs", "RUN", "run folders of `s5ref train`, also of several seeds, or of `s5ref fit`", nargs="+"
    )
    option(p, "--html", "FILE", "write a page that needs nothing else, no network and no script")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.show import compare
    from s5ref.show.record import read
    from s5ref.train.runs import is_fit

    names = list(dict.fromkeys(args.runs))
    if len(names) < 2:
        raise ConfigError(
            f"compare needs two different runs; got {', '.join(names)}.", f"One alone: s5ref show {names[0]}"
        )
    if fits := [name for name in names if is_fit(name)]:
        if others := [name for name in names if name not in fits]:
            raise ConfigError(
                f"All runs must be of one command; {fits[0]} is of `s5ref fit`, {others[0]} is not.",
                f"One alone: s5ref show {others[0]}",
            )
        return _fits(names, args.html, out)
    runs = {name: read(name) for name in names}
    rows, differ = compare.rows(runs), compare.differences(runs)
    out.result({"runs": rows, "differences": differ, "names": names, "html": args.html})
    out.table([{key if key == "run" else f">{key}": value for key, value in row.items()} for row in rows])
    if differ:
        out.table([{"key": key, **dict(zip(names, map(str, v), strict=True))} for key, v in differ.items()])
    else:
        out.say("  the runs have the same configuration")
    several = any(len(records) > 1 for records in runs.values())
    out.say("  accuracy in %, on the validation set" + ("; mean ± sd over the seeds" if several else ""))
    out.page(args.html, lambda: compare.page(runs))
    return DONE


def _fits(names: list[str], html: str | None, out: Output) -> int:
    """Runs of `s5ref fit`."""
    from s5ref.estimators.folder import read_facts
    from s5ref.show.compare import FIT_SCORES, fit_page, fit_rows

    runs = {name: read_facts(name) for name in names}
    out.result({"runs": runs, "names": names, "html": html})
    out.table([{f">{k}" if k == "seconds" else k: v for k, v in row.items()} for row in fit_rows(runs)])
    out.say(f"  {FIT_SCORES}")
    out.page(html, lambda: fit_page(runs))
    return DONE
