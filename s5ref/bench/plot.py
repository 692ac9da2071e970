"""growth.png and growth.svg: seconds over L, H, P and B, and peak memory over L."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s5ref.bench.growth import Growth
from s5ref.files import writing

LEFT_OUT = "growth.png and growth.svg are left out: matplotlib is not installed (pip install 's5ref[plot]')."
TIME, MEMORY = "#3b6fb6", "#d1603d"
NAMES = {"L": "length L", "H": "features H", "P": "state size P", "B": "batch B"}


def draw(growth: Sequence[Growth], folder: Path) -> str | None:
    """Write both files into the folder; None if drawn, else the sentence that says why not."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return LEFT_OUT
    figure = Figure(figsize=(3.2 * len(growth), 3.4), layout="constrained")
    panels = figure.subplots(1, len(growth), squeeze=False)[0]
    for axes, one in zip(panels, growth, strict=True):
        _panel(axes, one)
    for suffix, metadata in (("png", {}), ("svg", {"Date": None})):
        with writing(folder / f"growth.{suffix}") as stream:
            figure.savefig(stream, format=suffix, dpi=150, metadata=metadata)
    return None


def _panel(axes: Any, growth: Growth) -> None:
    """The points, a line of slope 1 through the last of them, and for L the memory on its own scale."""
    points = [(p.value, p.seconds) for p in growth.points if p.seconds]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=TIME, markersize=4, linewidth=1.2)
        (first, _), (last, seconds) = points[0], points[-1]
        axes.plot(
            [first, last], [seconds * first / last, seconds], ":", color="0.6", linewidth=1, label="linear"
        )
        axes.legend(frameon=False, fontsize=8)
    slope = "" if growth.exponent is None else f"∝ {growth.axis}^{growth.exponent:.2f}"
    since = f" from {growth.fitted_from}" if growth.exponent != growth.exponent_all else ""
    axes.set_title(f"seconds {slope}{since}", loc="left", fontsize=9, color=TIME)
    axes.set_xlabel(
        f"{NAMES[growth.axis]}   ({', '.join(f'{k}={v}' for k, v in growth.base.items())})", fontsize=8
    )
    axes.grid(alpha=0.25, linewidth=0.6)
    sizes = [(p.value, p.bytes / 2**20) for p in growth.points if p.bytes]
    if growth.axis == "L" and sizes:
        memory = axes.twinx()
        memory.set_yscale("log")
        memory.plot(*zip(*sizes, strict=True), "s--", color=MEMORY, markersize=3, linewidth=1)
        memory.set_title("MiB", loc="right", fontsize=9, color=MEMORY)
