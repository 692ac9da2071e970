"""One screen of a run of `s5ref fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.class_table import class_table
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import bars
from s5ref.show.fit_sections import HEAD, TOP, caption, figure, rows
from s5ref.show.fitted import Fitted, headline, page, told, view

if TYPE_CHECKING:
    from s5ref.show.filters import FilterTable

LISTED = 5  # filters on the screen


def show(run: str, data: str | None, html: str | None, out: Output) -> int:
    """Say what a run has learned, and write its page where one is asked for."""
    shown = view(run, data, lambda file, **how: options.read_series(file, how, out))
    out.result(_facts(shown) | {"html": html})
    _screen(shown, out)
    out.page(html, lambda: page(shown), f"s5ref show {run} --html FILE")
    return DONE


def _facts(view: Fitted) -> dict[str, Any]:
    from s5ref.show.answers import per_class

    answers, filters = view.answers, view.filters
    facts = view.facts | {"run": str(view.run), "missing": view.missing}
    if answers is not None:
        facts |= {"data": answers.file, "examples": len(answers.series), "score": answers.score}
        if answers.labels:
            facts |= {"labels": answers.labels, "confusion": answers.confusion.tolist(),
                      "classes": [row._asdict() for row in per_class(answers.confusion)]}  # fmt: skip
        else:
            facts |= {"targets": answers.targets.tolist(), "predictions": answers.output[:, 0].tolist()}
    if filters is not None:
        facts["filters"] = _filter_facts(filters)
    if view.losses is not None:
        facts |= {"losses": view.losses.tolist(), "eigenvalues": [
            [[float(z.real), float(z.imag)] for z in of.Lambda] for of in view.poles
        ]}  # fmt: skip
    facts["occlusions"] = [{
        "row": one.row, "truth": one.truth, "answer": one.answer, "probability": one.probability,
        "edges": one.edges.tolist(), "losses": one.losses.tolist(),
    } for one in view.occlusions]  # fmt: skip
    return facts


def _filter_facts(of: FilterTable) -> dict[str, Any]:
    edges, importance, there = of.scales()
    return {
        "number": len(of.tau), "unit": of.unit, "channels": of.names, "top_share": of.top_share,
        "scales": {"edges": edges.tolist(), "importance": importance.tolist(), "filters": there.tolist()},
        "top": [{
            "filter": f, "time_constant": of.tau[f], "period": of.period[f], "backward": bool(of.backward[f]),
            "share": of.share[f], "sees": [seen._asdict() for seen in of.sees(f)],
        } for f in of.order[:TOP].tolist()],
    }  # fmt: skip


def _screen(view: Fitted, out: Output) -> None:
    answers, filters = view.answers, view.filters
    out.say(headline(view))
    for name, words in told(view).items():
        out.say(f"  {name:<9} {words}")
    if view.missing:
        out.say(f"  data      {view.missing}")
    if filters is not None:
        edges, importance, _ = filters.scales()
        top = f"the most important tenth has {100 * filters.top_share:.0f} % of the importance"
        out.say(f"  filters   {len(filters.tau):,}, {top}")
        ends = f"time constants from {figure(edges[0])} to {figure(edges[-1])}, in {filters.words}"
        out.say(f"            {bars([*importance], zero=True)}  importance by {ends}")
        numeric = ("time constant", "period", "share")
        titles = [f">{title}" if title in numeric else title for title in HEAD]
        out.table([dict(zip(titles, row, strict=True)) for row in rows(filters, LISTED)])
    if view.losses is not None:
        out.say(f"  loss      {bars(view.losses.mean(axis=0).tolist())}  by epoch, mean of the models")
    if answers is not None and answers.labels:
        class_table(answers.confusion, answers.labels, out)
    if view.occlusions:
        of = "what the true class loses" if view.classifies else "how far the prediction moves"
        out.say(f"  rests on: {of} without a window, from the start of the series to its end")
    for one in view.occlusions:
        heights = one.losses if view.classifies else abs(one.losses)
        out.say(f"            {bars([*heights], zero=True)}  {caption(one)}")
