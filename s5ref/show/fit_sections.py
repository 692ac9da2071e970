"""The sections of a page about a run of `s5ref fit`. Each function makes one, from what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from s5ref.arrays import Array
from s5ref.page.chart import COLORS, Chart
from s5ref.page.html import Section, figures, soft, table
from s5ref.show.filters import FilterTable, Seen
from s5ref.show.occlusion import Occlusion

TOP = 10  # filters in the table
LONGEST = 10  # times the longest time constant: what oscillates more slowly is drawn there
HEAD = ("time constant", "period", "direction", "share", "sees")


def fit(told: Mapping[str, str]) -> Section:
    """What it was fitted to and how."""
    return Section("Fit", table([escape(name), escape(words)] for name, words in told.items()))


def curves(losses: Array) -> Section:
    """The losses (models, epochs) of a model trained by gradient; a line for each of its fits."""
    chart = Chart("Loss over the epochs", "epoch", "loss", log_y=bool(losses.min() > 0))
    for k, row in enumerate(losses):
        chart.add("line", np.arange(1, len(row) + 1), row, k, f"model {k + 1}" if len(losses) > 1 else "")
    return Section("Curves", figures([("Training loss of each epoch", chart.svg())]))


def filters(of: FilterTable) -> Section:
    """The filters by time constant and period, the importance by time constant, the most important ones."""
    top = f"{100 * of.top_share:.0f} %"
    lead = (
        f"A filter is a state that decays to 1/e in its time constant and oscillates with its period, in "
        f"{of.words}. Its importance is the norm of the coefficients of its standardised features: what the "
        "ridge uses, not what it would lose without the filter, for filters that answer alike share the "
        f"weight. The most important tenth of the {len(of.tau):,} filters has {top} of the importance."
    )
    lines = [[*map(escape, row[:-1]), f'<td class="wide">{escape(row[-1])}</td>'] for row in rows(of, TOP)]
    listed = (
        f"The {len(lines)} most important, with the largest weights of what they see: of a channel its "
        "values or their differences from step to step, standardised by the series or by the training set."
    )
    html = soft(lead) + figures([_scatter(of), _scales(of)]) + soft(listed)
    return Section("Which filters matter", html + table(lines, HEAD, numeric=(0, 1, 3)))


def _scatter(of: FilterTable) -> tuple[str, str]:
    chart = Chart(
        "Filters by time constant and period", "time constant", "period", log_x=True, log_y=True, height=300
    )
    top, rest = np.split(of.order, [of.tenth])
    limit = LONGEST * of.tau.max()
    period = np.minimum(of.period, limit)
    chart.add("dots", of.tau[rest], period[rest], 7, faint=True, sizes=np.full(len(rest), 1.4))
    for color, (backward, name) in enumerate(((False, "forward"), (True, "backward"))):
        mine = top[of.backward[top] == backward]
        sizes = 6 * np.sqrt(of.share[mine] / (of.share.max() or 1.0))
        chart.add("dots", of.tau[mine], period[mine], color, name, sizes=sizes)
    words = "The most important tenth, area by importance, and the others small."
    return f"{words} Periods above {figure(limit)} are drawn there.", chart.svg()


def _scales(of: FilterTable) -> tuple[str, str]:
    edges, importance, there = of.scales()
    middles = np.sqrt(edges[:-1] * edges[1:])
    chart = Chart(
        "Importance by time constant", "time constant", "% of the importance", log_x=True, height=300
    )
    chart.add("bars", middles, 100 * importance, 0, "importance")
    chart.add("line", middles, 100 * there, 1, "filters")
    words = (
        "On which time scales the answers differ. Line: the share of the filters, where the bars would end "
    )
    return f"{words}if all mattered alike.", chart.svg()


def rows(of: FilterTable, most: int) -> list[list[str]]:
    """Of the most important filters: time constant, period, direction, share of the importance, what they
    see.
    """

    def seen(part: Seen) -> str:
        channel = f"channel {of.names[part.channel]} " if len(of.names) > 1 else ""
        return f"{channel}{part.view} {part.weight:+.2f}".replace("-", "−")

    return [
        [
            figure(of.tau[f]), figure(of.period[f]), "backward" if of.backward[f] else "forward",
            f"{100 * of.share[f]:.2f} %", ", ".join(map(seen, of.sees(f)[:4])),
        ]
        for f in of.order[:most].tolist()
    ]  # fmt: skip


def figure(time: float) -> str:
    """A time in three digits."""
    return (f"{time:.3g}" if time < 1000 else f"{time:,.0f}") if np.isfinite(time) else "∞"


def occlusions(each: Sequence[Occlusion], classes: bool, names: Sequence[str]) -> Section:
    """What predictions lose without a window of the series, example by example. names (C,): of channels."""
    value = "the log-odds of the true class lose" if classes else "the prediction loses"
    signs = "speaks for it; orange: against it" if classes else "raises it; orange: lowers it"
    lead = (
        f"What {value} when a window of the series is replaced by its mean, channel by channel. Blue: the "
        f"course of the series there {signs}. Windows that say the same stand in for each other and lose "
        "little each."
    )
    return Section(
        "What a prediction rests on", soft(lead) + figures(_occlusion(one, classes, names) for one in each)
    )


def _occlusion(one: Occlusion, classes: bool, names: Sequence[str]) -> tuple[str, str]:
    L, C = one.values.shape
    series = Chart(f"Series {one.row}", "", "value", height=170)
    for c in range(min(C, COLORS)):
        series.add("line", np.arange(L), one.values[:, c], c, names[c] if C > 1 else "")
    loss = Chart(f"Losses of series {one.row}", "step", "loss of log-odds" if classes else "loss", height=170)
    loss.add("line", [0, L - 1], [0, 0], 7, faint=True)  # as wide as the series
    middles = (one.edges[:-1] + one.edges[1:] - 1) / 2
    labels = ("for", "against") if classes else ("raises", "lowers")
    for sign, color, label in zip((1, -1), (0, 1), labels, strict=True):
        loss.add("bars", middles, np.where(sign * one.losses > 0, one.losses, 0.0), color, label)
    drawn = f" Drawn are the first {COLORS} of {C} channels." if C > COLORS else ""
    return caption(one) + drawn, series.svg() + loss.svg()


def caption(one: Occlusion) -> str:
    """An example in words."""
    if one.probability is None:
        return f"Series {one.row}: {one.answer}, true is {one.truth}."
    verdict = "right" if one.answer == one.truth else f"wrong, it is {one.truth}"
    return f"Series {one.row}: {one.answer} ({100 * one.probability:.0f} %), {verdict}."
