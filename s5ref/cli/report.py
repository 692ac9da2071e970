"""``s5ref report``: what came of runs on their tasks, beside what others published, and which seeds learned.

It reads what the runs recorded and needs no data.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import clock

EXAMPLES = """\
  s5ref report runs/listops
  s5ref report runs/smnist runs/smnist-narrow --html smnist.html
  s5ref report runs/* --html all.html            task by task
"""


def parser() -> Parser:
    p = Parser("report", __doc__ or "", "RUN… [options]", EXAMPLES)
    option(p, "runs", "RUN", "run folders of `s5ref train`, also of several seeds", nargs="+")
    option(p, "--html", "FILE", "write a page that needs nothing else, no network and no script")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.recipes.published import published
    from s5ref.show import report
    from s5ref.show.record import read

    runs = {name: read(name) for name in dict.fromkeys(args.runs)}
    tasks = report.by_task(runs)
    out.result({
        "html": args.html, "criterion": report.CRITERION,
        "tasks": {
            task: {
                "runs": [report.row(name, records) for name, records in of.items()],
                "published": [one._asdict() for one in published(task)],
            }
            for task, of in tasks.items()
        },
    })  # fmt: skip
    for task, of in tasks.items():
        out.say(f"{report.title(task)}, test set")
        lines = []
        for name, records in of.items():
            facts = report.row(name, records)
            lines.append({
                "model": name, ">test": report.figure(facts["test"], report.is_regression(records)),
                ">learned": f"{facts['learned']} of {facts['ended']} seeds",
                ">time": clock(fmean(facts["seconds"])),
                ">epochs": f"{max(facts['epochs'])} of {facts['of']}", "from": "; ".join(facts["sources"]),
            })  # fmt: skip
        for one in published(task):
            words = {
                ">learned": "" if one.seeds is None else f"of {one.seeds} seeds",
                ">time": "",
                ">epochs": "",
            }
            lines.append({"model": one.model, ">test": report.written(one)} | words | {"from": one.source})
        out.table(lines)
        for remark in report.remarks(of):
            out.say(f"  note      {remark}")
    out.say(f"  {report.CRITERION}")
    out.page(args.html, lambda: report.page(runs), f"s5ref report {' '.join(runs)} --html FILE")
    return DONE
