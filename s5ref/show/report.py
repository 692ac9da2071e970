"""`s5ref report`: what came of runs, task by task, beside what others published. It needs no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from s5ref.data.tasks import TASKS
from s5ref.model.heads import HEADS
from s5ref.page import html
from s5ref.page.chart import COLORS, Chart
from s5ref.page.html import Section, figures, soft, table
from s5ref.recipes.published import NOTES, Published, published
from s5ref.show import sections
from s5ref.show.compare import Runs
from s5ref.show.dynamics import layer_poles
from s5ref.show.record import Record, mean_and_sd, median
from s5ref.show.sections import spread
from s5ref.terminal import NOTHING

CRITERION = (
    "Learned: the best accuracy on the validation set is above the share of the most frequent class by more "
    "than three standard errors; of a regression, the best mean squared error is below the variance of the "
    "targets."
)
LONGEST = 26  # letters of a name beside a chart


def by_task(runs: Runs) -> Mapping[str, Runs]:
    """The runs of each task, in the order in which they were named."""
    tasks: dict[str, dict[str, Sequence[Record]]] = {}
    for name, records in runs.items():
        tasks.setdefault(records[0].config.task, {})[name] = records
    return tasks


def is_regression(records: Sequence[Record]) -> bool:
    """Whether a run is measured by its mean squared error."""
    return not HEADS[records[0].config.model.head].classifies


def tested(records: Sequence[Record]) -> list[float]:
    """Of each seed that has ended: accuracy on the test set in %, or mean squared error."""
    key, scale = ("test_mse", 1.0) if is_regression(records) else ("test_accuracy", 100.0)
    values = [(record.result or {}).get(key) for record in records]
    return [scale * value for value in values if value is not None]


def learned(records: Sequence[Record]) -> tuple[int, int]:
    """How many seeds learned, of those that have ended."""
    known = [record.result["learned"] for record in records if record.result]
    return sum(value is True for value in known), len(known)


def row(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """The facts of a run, over its seeds.

    Returns
    -------
    dict
        run, seeds, test (a number for each seed that has ended), mean, sd, learned, ended, epochs (done, by
        the seeds), of (epochs of the configuration), parameters, seconds, sources, changed (number of keys
        that differ from the recipe), selected_on.
    """
    values = tested(records)
    mean, sd = mean_and_sd(values)
    how_many, ended = learned(records)
    results = [record.result for record in records if record.result]
    return {
        "run": name, "seeds": len(records), "test": values, "mean": mean, "sd": sd, "learned": how_many,
        "ended": ended, "epochs": [record.facts["epochs"] for record in records],
        "of": records[0].config.train.epochs, "parameters": records[0].parameters,
        "seconds": [record.seconds for record in records],
        "sources": list(dict.fromkeys(result["source"] for result in results)),
        "selected_on": results[0]["selected_on"] if results else None, "changed": len(records[0].changed()),
    }  # fmt: skip


def page(runs: Runs) -> str:
    """The page of the report."""
    tasks = by_task(runs)
    parts = [section for task, of in tasks.items() for section in task_sections(task, of)]
    head = "<h1>s5ref report</h1>" + f'<p class="verdict">{escape(headline(tasks))}</p>'
    return html.page("s5ref report", head + html.sections(parts) + f"<footer>{escape(CRITERION)}</footer>")


def headline(tasks: Mapping[str, Runs]) -> str:
    """The result in one line where there is one run, else how much there is."""
    named = ", ".join(map(title, tasks))
    if (count := sum(map(len, tasks.values()))) > 1:
        return f"{named}: {count} runs"
    ((task, runs),) = tasks.items()
    (records,) = runs.values()
    paper = next(iter(published(task)), None)
    if not tested(records):
        return f"{named}: no result yet"
    said = f"{named}: {figure(tested(records), is_regression(records))}"
    return said + (f"; the paper has {written(paper)}" if paper else "")


def task_sections(task: str, runs: Runs) -> list[Section]:
    """The sections of one task, in their order."""
    parts = [results(task, runs)]
    for name, records in runs.items():
        record = median(records)
        before = None if record.initial is None else layer_poles(record.initial, record.config.model)
        drawn = sections.eigenvalues(before, layer_poles(record.loaded.params, record.config.model))
        seed = f", seed {record.facts['seed']}, the median of {len(records)}" if len(records) > 1 else ""
        parts.append(Section(f"{title(task)}: eigenvalues of {name}{seed}", drawn.html))
    return parts


def results(task: str, runs: Runs) -> Section:
    """The test figures of the runs beside those of others, as a picture and as a table; the curves."""
    regression = is_regression(next(iter(runs.values())))
    what = "mean squared error" if regression else "accuracy"
    lines = []
    for i, (name, records) in enumerate(runs.items()):  # the dot is the legend of the curves
        facts = row(name, records)
        dot = f'<span class="run"><span class="s s{i % COLORS}"></span> {escape(name)}</span>'
        lines.append([
            dot, escape(figure(facts["test"], regression)), f"{facts['learned']} of {facts['ended']}",
            f"{spread(facts['epochs'], '{:.0f}')} of {facts['of']}", f"{facts['parameters']:,}",
            spread([seconds / 60 for seconds in facts["seconds"]], "{:.1f}"),
            _wide("; ".join(facts["sources"]) or NOTHING),
        ])  # fmt: skip
    for one in published(task):
        seeds = NOTHING if one.seeds is None else f"{one.seeds} seeds"
        lines.append([escape(one.model), escape(written(one)), seeds, "", "", "", _wide(one.source)])
    head = ("", what, "learned", "epochs", "parameters", "minutes", "data, or source")
    lead = "On the test set, by the checkpoint that was best on the selecting set; "
    lead += "mean ± standard deviation over the seeds."
    notes = [lead, *remarks(runs), *([NOTES[task]] if task in NOTES else [])]
    drawings = [] if not any(map(tested, runs.values())) else [strip(task, runs, what)]
    if any(record.epochs for records in runs.values() for record in records):
        drawings.append(curves(task, runs))
    shown = figures(drawings) + table(lines, head, numeric=(1, 2, 3, 4, 5))
    return Section(f"{title(task)}: results", shown + "".join(map(soft, notes)))


def _wide(text: str) -> str:
    """A cell that stays wide on a phone, where the table scrolls."""
    return f'<td class="wide">{escape(text)}</td>'


def remarks(runs: Runs) -> list[str]:
    """What one must know to read the figures."""
    said = []
    for name, records in runs.items():
        facts = row(name, records)
        if facts["ended"] < facts["seeds"]:
            said.append(
                f"{name}: {facts['seeds'] - facts['ended']} of {facts['seeds']} seeds have no result yet; it "
                f"comes at the end of a run: s5ref train --resume --out {name}"
            )
        if facts["changed"]:
            said.append(f"{name} differs from the recipe in {facts['changed']} keys: s5ref show {name}")
        if regenerated := [source for source in facts["sources"] if "regenerated" in source]:
            said.append(
                f"{name} was trained and tested on data made here ({regenerated[0]}), "
                "not on the published files."
            )
        if facts["selected_on"] == "test":
            said.append(f"{name}: the test set selected the checkpoint, as in the published results.")
    return said


def strip(task: str, runs: Runs, what: str) -> tuple[str, str]:
    """A row for each run and each published figure: (caption, SVG)."""
    others = published(task)
    names = [shortened(name) for name in (*runs, *(one.model for one in others))]
    unit = ", %" if what == "accuracy" else ""
    chart = Chart(
        f"{title(task)}: results beside published ones", f"{what} on the test set{unit}", rows=names,
        height=max(260, 22 * len(names) + 80),
    )  # fmt: skip
    for i, records in enumerate(runs.values()):
        values = tested(records)
        chart.add("dots", values, np.full(len(values), i), i)
        if len(values) > 1:
            chart.add("rings", [np.mean(values)], [i], i, sizes=np.array([7.0]))
    for i, one in enumerate(others, len(runs)):
        around = one.spread or 0.0
        chart.add("line", [one.figure - around, one.figure + around], [i, i], 7)
        chart.add("rings", [one.figure], [i], 7)
    return f"{title(task)}, test set: each seed a dot, their mean a ring; below, others", chart.svg()


def curves(task: str, runs: Runs) -> tuple[str, str]:
    """The validation set over the epochs, the paper's figure dashed: (caption, SVG)."""
    regression = is_regression(next(iter(runs.values())))
    key, scale = ("val_mse", 1.0) if regression else ("val_accuracy", 100.0)
    chart = Chart(
        f"{title(task)}: the validation set over the epochs", "epoch",
        f"validation {'mean squared error' if regression else 'accuracy, %'}", log_y=regression,
    )  # fmt: skip
    for color, records in enumerate(runs.values()):
        seeds = [scale * np.array([line.get(key) for line in record.epochs], float) for record in records]
        for each in seeds:
            chart.add("line", np.arange(1, len(each) + 1), each, color, faint=len(seeds) > 1)
        whole = min(map(len, seeds))  # the epochs that all seeds have done
        mean = np.mean([each[:whole] for each in seeds], axis=0)
        chart.add("line", np.arange(1, whole + 1), mean, color)
    caption = "Each seed faint, their mean strong"
    if others := published(task):
        chart.rule("y", others[0].figure)
        caption += f"; dashed: the paper's {written(others[0])} on the test set"
    return caption, chart.svg()


def title(task: str) -> str:
    """The name of a task in print."""
    return TASKS[task].title if task in TASKS else task


def figure(values: Sequence[float], regression: bool) -> str:
    """Mean ± standard deviation: accuracy in %, or a mean squared error."""
    return spread(values) if regression else spread(values, "{:.2f}") + (" %" if values else "")


def written(one: Published) -> str:
    """A published figure as `figure` writes ours."""
    unit = "" if one.figure < 1 else " %"
    form = "{:.3g}" if one.figure < 1 else "{:.2f}"
    around = "" if one.spread is None else f" ± {form.format(one.spread)}"
    return form.format(one.figure) + around + unit


def shortened(name: str) -> str:
    """The end of a long name, which differs most between runs."""
    return name if len(name) <= LONGEST else "…" + name[1 - LONGEST :]
