"""`s5ref compare`: several runs beside each other, without their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from s5ref.page import html
from s5ref.page.chart import COLORS
from s5ref.page.html import Section, code, soft, table
from s5ref.show import sections
from s5ref.show.record import Record
from s5ref.show.sections import spread
from s5ref.terminal import NOTHING, score

Runs = Mapping[str, Sequence[Record]]
"""Name → the records of its seeds."""

FIT_SCORES = "Left out: each series by a model of the others. Scores on different files do not compare."


def differences(runs: Runs) -> dict[str, list[Any]]:
    """The keys in which some run differs from the first one, and the value of each run."""
    configs = [records[0].config for records in runs.values()]
    keys = [key for other in configs[1:] for key in configs[0].differences(other)]
    firsts = [configs[0].differences(other) for other in configs]
    found = {}
    for key in dict.fromkeys(keys):
        own = next(pair[0] for pair in (each.get(key) for each in firsts) if pair)
        found[key] = [each[key][1] if key in each else own for each in firsts]
    return found


def rows(runs: Runs) -> list[dict[str, str]]:
    """A row of figures for each run: mean ± sample standard deviation over its seeds.

    Best and final figures are those of the validation set; final is that of the last epoch that ended.
    """
    table = []
    regress = any((record.best or {}).get("mse") is not None for of in runs.values() for record in of)
    for name, records in runs.items():
        best = [record.best or {} for record in records]
        final = [record.epochs[-1] if record.epochs else {} for record in records]
        table.append({
            "run": name, "seeds": str(len(records)), "epochs": spread([r.facts["epochs"] for r in records]),
            "best accuracy": spread([b.get("accuracy") for b in best], "{:.2f}", 100),
            "final accuracy": spread([f.get("val_accuracy") for f in final], "{:.2f}", 100),
            **({"best MSE": spread([b.get("mse") for b in best])} if regress else {}),
            "best loss": spread([b.get("loss") for b in best]),
            "final loss": spread([f.get("val_loss") for f in final]),
            "training loss": spread([f.get("train_loss") for f in final]),
            "parameters": f"{records[0].parameters:,}",
            "seconds": spread([record.seconds for record in records], "{:.0f}"),
        })  # fmt: skip
    return table


def page(runs: Runs) -> str:
    """The page of the comparison."""
    figures = rows(runs)
    head = list(figures[0])
    lines = []
    for i, row in enumerate(figures):  # the dot is the legend of the curves
        name = f'<span class="run"><span class="s s{i % COLORS}"></span> {escape(row["run"])}</span>'
        lines.append([name, *(escape(row[key]) for key in head[1:])])
    lead = soft("On the validation set, in % where it is accuracy; mean ± standard deviation over the seeds.")
    parts = [
        Section("Results", lead + table(lines, head, numeric=range(1, len(head)))),
        Section("Configuration", _configuration(runs)),
        sections.curves(runs),
    ]
    return _page(len(runs), parts)


def fit_rows(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each run of `s5ref fit`, from the facts of its fit.json."""
    table = []
    for name, facts in runs.items():
        classes = facts["read"]["task"] == "classes"
        test, left_out = (score(facts[key], classes) for key in ("test", "left_out"))
        table.append({
            "run": name, "test": test, "left out": left_out, "seconds": f"{facts['seconds']:.1f}",
            "method": facts["method"], "file": facts["file"], "test file": facts["test_file"] or NOTHING,
        })  # fmt: skip
    return table


def fit_page(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of a comparison of runs of `s5ref fit`."""
    figures = fit_rows(runs)
    lines = [[escape(word) for word in row.values()] for row in figures]
    return _page(
        len(runs), [Section("Results", soft(FIT_SCORES) + table(lines, list(figures[0]), numeric=[3]))]
    )


def _page(number: int, parts: Sequence[Section]) -> str:
    title = f"{number} runs"
    top = f'<h1>s5ref compare</h1><p class="verdict">{title}</p>'
    return html.page(f"{title} · s5ref compare", top + html.sections(parts))


def _configuration(runs: Runs) -> str:
    differ = differences(runs)
    if not differ:
        return soft("The runs have the same configuration.")
    lines = ([code(key), *(escape(str(value)) for value in values)] for key, values in differ.items())
    return table(lines, ["key", *map(escape, runs)])
