"""The drawings of a report, as inline SVG."""

from __future__ import annotations

import math
from html import escape
from itertools import product
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.page.svg import element, svg, tooltip
from s5ref.verification.conformance.kit.result import ORDER, Outcome, Result

LEFT, WIDTH, ROW = 190, 960, 30
LOW, HIGH = -3.0, 14.0  # decades of the ratio
HEAT = (  # from rounding to far off
    (247, 248, 250), (253, 224, 161), (242, 128, 63), (176, 28, 30), (72, 6, 30),
)  # fmt: skip


def over_stages(result: Result) -> str:
    """A row per stage and kind; a dot per case at the logarithm of its worst ratio."""
    rows = {}
    for stage, backward in product(ORDER, (False, True)):
        dots = []
        for o in (o for o in result.outcomes if o.stage == stage):
            of_kind = [m for m in o.measures if m.cotangent == backward]
            if of_kind:
                worst = max(of_kind, key=lambda m: m.ratio)
                dots.append((_decades(worst.ratio), o.id, worst))
        if dots:
            rows[f"{stage}: cotangents" if backward else stage] = sorted(dots, key=lambda dot: dot[0])
    if not rows:
        return ""
    high = min(HIGH, max(2.0, max(dots[-1][0] for dots in rows.values()) + 0.5))
    height = ROW * len(rows) + 44

    def x(decades: float) -> float:
        return LEFT + (min(decades, high) - LOW) / (high - LOW) * (WIDTH - LEFT - 20)

    def line(kind: str, decades: float) -> str:
        return element("line", class_=kind, x1=x(decades), x2=x(decades), y1=4, y2=height - 36)

    parts = []
    for decade in range(int(LOW), int(high) + 1, 1 if high < 6 else 3):
        power = element("tspan", str(decade).replace("-", "−"), dy="-5", font_size=9)
        label = "1" if decade == 0 else f"10{power}"
        parts += [
            line("grid", decade),
            element("text", label, class_="soft", x=x(decade), y=height - 16, text_anchor="middle"),
        ]
    parts.append(line("limit", 0))
    for i, (name, dots) in enumerate(rows.items()):
        y = ROW * i + 20
        parts.append(element("text", escape(name), x=LEFT - 16, y=y + 4, text_anchor="end"))
        for k, (decades, id_, m) in enumerate(dots):
            tip = tooltip(f"{id_}\n{m.output}: {m.fault or f'{m.ratio:.3g}'}")
            kind, jitter = "good" if m.rounding else "bad", (k % 5 - 2) * 3.2
            place = {"cx": x(decades), "cy": y + jitter}
            parts.append(element("circle", tip, class_=kind, **place, r=4.2, fill_opacity=".62"))
    return svg(WIDTH, height, parts, "The worst ratio of every case, by stage")


def over_time(outcome: Outcome) -> str:
    """The error at every step of the worst tensor with a time axis, as bars on a logarithmic scale."""
    heat = _heat(outcome)
    if heat is None or heat.ndim != 3 or heat.shape[1] < 2:
        return ""
    worst = [_decades(float(v)) for v in heat.max(axis=(0, 2))]
    low, high = min(*worst, -1.0), max(*worst, 1.0)
    height, step = 190, min(72.0, (WIDTH - 70) / len(worst))

    def y(decades: float) -> float:
        return 14 + (high - decades) / (high - low) * (height - 54)

    def label(text: Any, x: Any, y: Any, anchor: str) -> str:
        return element("text", str(text), class_="soft", x=x, y=y, text_anchor=anchor)

    parts = []
    for k, decades in enumerate(worst):
        bar = {"x": 60 + k * step + step * 0.12, "y": y(decades), "width": step * 0.76}
        kind, size = "good" if decades <= 0 else "bad", max(y(low) - y(decades), 1.5)
        tip = tooltip(f"step {k}: {10**decades:.3g}")
        parts.append(element("rect", tip, class_=kind, **bar, height=size, fill_opacity=".8"))
        if len(worst) <= 32 or k % 8 == 0:
            parts.append(label(k, 60 + (k + 0.5) * step, height - 20, "middle"))
    parts += [
        element("line", class_="limit", x1=56, x2=WIDTH, y1=y(0), y2=y(0)),
        label(1, 50, y(0) + 4, "end"),
        label(f"{10**high:.0e}", 50, y(high) + 8, "end"),
        label("step", f"{60 + step * len(worst) / 2:.0f}", height - 2, "middle"),
    ]
    title = "<p class='soft'>Error over time, the worst of each step:</p>"
    return title + svg(WIDTH, height, parts, "Error over time")


def heat_map(outcome: Outcome) -> str:
    """The worst tensor, element by element: batch × channel down, time across."""
    heat, worst = _heat(outcome), outcome.worst
    if heat is None or worst is None or heat.size < 2:
        return ""
    columns = "step" if heat.ndim == 3 else "last axis"
    grid = np.concatenate([plane.T for plane in heat]) if heat.ndim == 3 else heat.reshape(-1, heat.shape[-1])
    rows, width = grid.shape
    cell = min(44.0, (WIDTH - 70) / width, 420 / rows)
    high = max(1.0, _decades(float(np.nanmax(grid))))
    parts = []
    for (r, c), value in np.ndenumerate(grid):
        place = {"x": 60 + c * cell, "y": 4 + r * cell, "width": cell - 1, "height": cell - 1, "rx": 2}
        tip = tooltip(f"[{r}, {c}]: {value:.3g}")
        parts.append(element("rect", tip, **place, fill=_colour(_decades(float(value)) / high)))
    height = int(rows * cell + 56)
    for i in range(60):
        place = {"x": 60 + 4 * i, "y": height - 40, "width": 4.5, "height": 10}
        parts.append(element("rect", **place, fill=_colour(i / 59)))
    parts += [
        element("text", "rounding", class_="soft", x=60, y=height - 14),
        element("text", f"{10**high:.1e} ×", class_="soft", x=300, y=height - 14, text_anchor="end"),
    ]
    lead = f"batch × channel down, {columns} across" if heat.ndim == 3 else f"{columns} across"
    name = f"<code>{escape(worst.output)}</code>"
    title = f"<p class='soft'>The worst tensor, {name}, element by element ({lead}):</p>"
    return title + svg(WIDTH, height, parts, f"Errors of {worst.output}")


def _heat(outcome: Outcome) -> Array | None:
    worst = outcome.worst
    return None if worst is None or worst.heat is None else np.atleast_1d(worst.heat)


def _decades(value: float) -> float:
    return HIGH if math.isinf(value) else max(LOW, math.log10(value)) if value > 0 else LOW


def _colour(t: float) -> str:
    """From paper (rounding) to dark red (as far off as anything in the tensor)."""
    at = min(max(t, 0.0), 1.0) * (len(HEAT) - 1)
    i = min(int(at), len(HEAT) - 2)
    mixed = [str(round(a + (b - a) * (at - i))) for a, b in zip(HEAT[i], HEAT[i + 1], strict=True)]
    return f"rgb({','.join(mixed)})"
