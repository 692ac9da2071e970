"""The sections of a page about a run of `s5ref fit`. Each function makes one, from the values that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from s5ref.page.chart import COLORS, Chart
from s5ref.page.html import Section, figures, soft, table
from s5ref.show.filters import FilterTable
from s5ref.show.occlusion import Occlusion

TOP = 10  # filters in the table
LONGEST = 10  # times the longest time constant: what oscillates more slowly is drawn there
HEAD = ("time constant", "period", "direction", "share", "sees")


def fit(told: Mapping[str, str]) -> Section:
    """What it was fitted to and how."""
    return Section("Fit", table([escape(name), escape(words)] for name, words in told.items()))


def filters(of: FilterTable) -> Section:
    """The filters by time constant and period, and the most important ones."""
    top = f"{100 * of.top_share:.0f} %"
    lead = (
        f"A filter is a state that decays to 1/e in its time constant and oscillates with its period, both in "
        f"{of.words}. Its importance is the norm of the coefficients of its standardised features: what the "
        "ridge uses, not what it would lose without the filter, for filters that answer alike share the "
        f"weight. The most important tenth of the {len(of.tau):,} filters has {top} of the importance."
    )
    chart = Chart("Filters by time constant and period", "time constant", "period", log_x=True, log_y=True,
                  height=340)  # fmt: skip
    radius = 7 * np.sqrt(of.share / (of.share.max() or 1.0))
    period = np.minimum(of.period, LONGEST * of.tau.max())
    for color, (backward, name) in enumerate(((False, "forward"), (True, "backward"))):
        mine = np.flatnonzero(of.backward == backward)
        if len(mine):
            chart.add("dots", of.tau[mine], period[mine], color, name, sizes=radius[mine])
    caption = f"Area: importance. Periods above {figure(LONGEST * of.tau.max())} are drawn there."
    lines = [[escape(cell) for cell in row] for row in rows(of, TOP)]
    listed = soft(f"The {len(lines)} most important. Of a channel they see: itself, standardised by its own "
                  "series or by the training set, or its difference from step to step.")  # fmt: skip
    html = soft(lead) + figures([(caption, chart.svg())]) + listed + table(lines, HEAD, numeric=(0, 1, 3))
    return Section("Which filters matter", html)


def rows(of: FilterTable, most: int) -> list[list[str]]:
    """Of the most important filters: time constant, period, direction, share of the importance, what they
    see.
    """
    return [
        [
            figure(of.tau[f]), figure(of.period[f]), "backward" if of.backward[f] else "forward",
            f"{100 * of.share[f]:.2f} %",
            ", ".join(f"channel {s.channel} {s.view} {s.weight:+.2f}".replace("-", "−") for s in of.sees(f)[:4]),
        ]
        for f in of.order[:most].tolist()
    ]  # fmt: skip


def figure(time: float) -> str:
    """A time in three digits."""
    return (f"{time:.3g}" if time < 1000 else f"{time:,.0f}") if np.isfinite(time) else "∞"


def scales(of: FilterTable) -> Section:
    """The importance by time constant."""
    edges, importance, there = of.scales()
    middles = np.sqrt(edges[:-1] * edges[1:])
    chart = Chart("Importance by time constant", "time constant", "% of the importance", log_x=True)
    chart.add("bars", middles, 100 * importance, 0, "importance")
    chart.add("line", middles, 100 * there, 1, "filters")
    lead = (
        f"On which time scales, in {of.words}, the answers differ. Bars: the share of the importance. Line: "
        "the share of the filters, where the bars would end if all filters mattered alike."
    )
    return Section("Which time scales matter", soft(lead) + figures([("By time constant", chart.svg())]))


def occlusions(each: Sequence[Occlusion], classes: bool) -> Section:
    """What predictions lose without a window of the series, example by example."""
    value = "the log-odds of the true class lose" if classes else "the prediction loses"
    lead = (
        f"What {value} when a window of the series is replaced by the mean of the series, channel by "
        "channel. Blue: the window speaks for it; orange: against it. Windows that say the same stand in for each "
        "other and lose little each."
    )
    return Section(
        "What a prediction rests on", soft(lead) + figures(_occlusion(one, classes) for one in each)
    )


def _occlusion(one: Occlusion, classes: bool) -> tuple[str, str]:
    L, C = one.values.shape
    series = Chart(f"Series {one.row}", "", "value", height=170)
    for c in range(min(C, COLORS)):
        series.add("line", np.arange(L), one.values[:, c], c, f"{c}" if C > 1 else "")
    loss = Chart(f"Losses of series {one.row}", "step", "loss of log-odds" if classes else "loss", height=170)
    loss.add("line", [0, L - 1], [0, 0], 7, faint=True)  # as wide as the series
    middles = (one.edges[:-1] + one.edges[1:] - 1) / 2
    for sign, color, label in ((1, 0, "for"), (-1, 1, "against")):
        loss.add("bars", middles, np.where(sign * one.losses > 0, one.losses, 0.0), color, label)
    return caption(one), series.svg() + loss.svg()


def caption(one: Occlusion) -> str:
    """An example in words."""
    if one.probability is None:
        return f"Series {one.row}: {one.answer}, true is {one.truth}."
    verdict = "right" if one.answer == one.truth else f"wrong, it is {one.truth}"
    return f"Series {one.row}: {one.answer} ({100 * one.probability:.0f} %), {verdict}."
