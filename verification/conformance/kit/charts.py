"""The drawings of a report, as inline SVG."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.kit.compare import Measured
from s5ref.verification.conformance.kit.result import ORDER, Outcome, Result

LEFT, WIDTH, ROW = 190, 960, 30
LOW, HIGH = -3.0, 14.0  # decades of the ratio
HEAT = (
    (247, 248, 250),
    (253, 224, 161),
    (242, 128, 63),
    (176, 28, 30),
    (72, 6, 30),
)  # from rounding to far off


def over_stages(result: Result) -> str:
    """A row per stage and kind; a dot per case at the logarithm of its worst ratio."""
    rows: list[tuple[str, list[tuple[float, Outcome, Measured]]]] = []
    for stage in ORDER:
        for backward in (False, True):
            dots = []
            for o in result.outcomes:
                found = [m for m in o.measures if m.cotangent == backward] if o.stage == stage else []
                if found:
                    worst = max(found, key=lambda m: m.ratio)
                    dots.append((_decades(worst.ratio), o, worst))
            if dots:
                rows.append((f"{stage}: cotangents" if backward else stage, dots))
    if not rows:
        return ""
    high = min(HIGH, max(2.0, max(d for _, dots in rows for d, _, _ in dots) + 0.5))
    height = ROW * len(rows) + 44

    def x(decades: float) -> float:
        return LEFT + (min(decades, high) - LOW) / (high - LOW) * (WIDTH - LEFT - 20)

    parts = []
    for decade in range(int(LOW), int(high) + 1, 1 if high < 6 else 3):
        label = "1" if decade == 0 else f"10<tspan dy='-5' font-size='9'>{_minus(decade)}</tspan>"
        parts.append(
            f"<line class='grid' x1='{x(decade):.1f}' x2='{x(decade):.1f}' y1='4' y2='{height - 36}'/>"
        )
        parts.append(
            f"<text class='soft' x='{x(decade):.1f}' y='{height - 16}' text-anchor='middle'>{label}</text>"
        )
    parts.append(f"<line class='limit' x1='{x(0):.1f}' x2='{x(0):.1f}' y1='4' y2='{height - 36}'/>")
    for i, (name, dots) in enumerate(rows):
        y = ROW * i + 20
        parts.append(f"<text x='{LEFT - 16}' y='{y + 4}' text-anchor='end'>{escape(name)}</text>")
        for k, (decades, o, m) in enumerate(sorted(dots, key=lambda dot: dot[0])):
            jitter = (k % 5 - 2) * 3.2
            kind = "good" if m.rounding else "bad"
            title = escape(f"{o.id}\n{m.output}: {m.fault or f'{m.ratio:.3g}'}")
            parts.append(
                f"<circle class='{kind}' cx='{x(decades):.1f}' cy='{y + jitter:.1f}' r='4.2' "
                "fill-opacity='.62'>"
                f"<title>{title}</title></circle>"
            )
    return _svg(height, parts, "The worst ratio of every case, by stage")


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

    parts = []
    for k, decades in enumerate(worst):
        kind = "good" if decades <= 0 else "bad"
        parts.append(
            f"<rect class='{kind}' x='{60 + k * step + step * 0.12:.1f}' y='{y(decades):.1f}' "
            f"width='{step * 0.76:.1f}' height='{max(y(low) - y(decades), 1.5):.1f}' fill-opacity='.8'>"
            f"<title>step {k}: {10**decades:.3g}</title></rect>"
        )
        if len(worst) <= 32 or k % 8 == 0:
            parts.append(
                f"<text class='soft' x='{60 + (k + 0.5) * step:.1f}' y='{height - 20}' "
                f"text-anchor='middle'>{k}</text>"
            )
    parts.append(f"<line class='limit' x1='56' x2='{WIDTH}' y1='{y(0):.1f}' y2='{y(0):.1f}'/>")
    parts.append(f"<text class='soft' x='50' y='{y(0) + 4:.1f}' text-anchor='end'>1</text>")
    parts.append(f"<text class='soft' x='50' y='{y(high) + 8:.1f}' text-anchor='end'>{10**high:.0e}</text>")
    parts.append(
        f"<text class='soft' x='{60 + step * len(worst) / 2:.0f}' y='{height - 2}' "
        "text-anchor='middle'>step</text>"
    )
    title = "<p class='soft'>Error over time, the worst of each step:</p>"
    return title + _svg(height, parts, "Error over time")


def heat_map(outcome: Outcome) -> str:
    """The worst tensor, element by element: batch × channel down, time across."""
    heat = _heat(outcome)
    if heat is None or heat.size < 2:
        return ""
    columns = "step" if heat.ndim == 3 else "last axis"
    grid = np.concatenate([plane.T for plane in heat]) if heat.ndim == 3 else heat.reshape(-1, heat.shape[-1])
    rows, width = grid.shape
    cell = min(44.0, (WIDTH - 70) / width, 420 / rows)
    high = max(1.0, _decades(float(np.nanmax(grid))))
    worst = outcome.worst
    assert worst is not None
    parts = []
    for r in range(rows):
        for c in range(width):
            value = float(grid[r, c])
            parts.append(
                f"<rect x='{60 + c * cell:.1f}' y='{4 + r * cell:.1f}' width='{cell - 1:.1f}' "
                f"height='{cell - 1:.1f}' rx='2' "
                f"fill='{_colour(_decades(value) / high)}'><title>[{r}, {c}]: {value:.3g}</title></rect>"
            )
    height = int(rows * cell + 56)
    parts += [
        f"<rect x='{60 + 4 * i}' y='{height - 40}' width='4.5' height='10' fill='{_colour(i / 59)}'/>"
        for i in range(60)
    ]
    parts.append(f"<text class='soft' x='60' y='{height - 14}'>rounding</text>")
    parts.append(f"<text class='soft' x='300' y='{height - 14}' text-anchor='end'>{10**high:.1e} ×</text>")
    lead = f"batch × channel down, {columns} across" if heat.ndim == 3 else f"{columns} across"
    name = f"<code>{escape(worst.output)}</code>"
    title = f"<p class='soft'>The worst tensor, {name}, element by element ({lead}):</p>"
    return title + _svg(height, parts, f"Errors of {worst.output}")


def _heat(outcome: Outcome) -> Array | None:
    worst = outcome.worst
    return None if worst is None or worst.heat is None else np.atleast_1d(worst.heat)


def _decades(value: float) -> float:
    return HIGH if math.isinf(value) else max(LOW, math.log10(value)) if value > 0 else LOW


def _colour(t: float) -> str:
    """From paper (rounding) to dark red (as far off as anything in the tensor)."""
    at = min(max(t, 0.0), 1.0) * (len(HEAT) - 1)
    i = min(int(at), len(HEAT) - 2)
    mixed = [round(a + (b - a) * (at - i)) for a, b in zip(HEAT[i], HEAT[i + 1], strict=True)]
    return f"rgb({mixed[0]},{mixed[1]},{mixed[2]})"


def _minus(number: int) -> str:
    return str(number).replace("-", "−")


def _svg(height: float, parts: list[str], label: str) -> str:
    return (
        f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{escape(label)}'>{''.join(parts)}</svg>"
    )
