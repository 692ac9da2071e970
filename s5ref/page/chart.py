"""A chart: two axes, linear or logarithmic, and lines, dots, bars and rules between them.

One chart is as wide as a phone; its colours are those of the page, light or dark (page.css).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.page.svg import element, svg, tooltip

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 440, 58, 12, 30, 44
POINTS = 400  # of a line; more are drawn as the least and the greatest of each piece
COLORS = 8  # s0 … s7 of page.css
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Mark(NamedTuple):
    """What is drawn at (x, y): ``shape`` line, dots, rings or bars, in the colour ``s<color>``."""

    shape: str
    x: Array
    y: Array
    color: int
    faint: bool
    titles: Sequence[str]
    sizes: Array | None


@dataclass
class Chart:
    """A chart under construction: add marks, then ask for `svg`.

    Parameters
    ----------
    label : str
        In words what the chart shows, for those who do not see it.
    x, y : str
        What the axes measure.
    log_x, log_y : bool
        Logarithmic axes; what is not above 0 is left out.
    rows : sequence of str
        Names of the rows 0, 1, … from the top, in the place of numbers on the y axis; long ones take their
        room from the chart.
    height : int
        Of the drawing; its width is 440.
    """

    label: str
    x: str = ""
    y: str = ""
    log_x: bool = False
    log_y: bool = False
    rows: Sequence[str] = ()
    height: int = 260
    marks: list[Mark] = field(default_factory=list)
    rules: list[tuple[str, float]] = field(default_factory=list)
    names: dict[str, tuple[str, int, bool]] = field(default_factory=dict)

    def add(
        self, shape: str, x: Any, y: Any, color: int = 0, name: str = "", faint: bool = False,
        titles: Sequence[str] = (), sizes: Array | None = None,
    ) -> None:  # fmt: skip
        """Marks at (x, y).

        Parameters
        ----------
        shape : {"line", "dots", "rings", "bars"}
        x, y : (n,) array-like
            NaN: left out; a line has a gap there.
        color : int
            Of the page's eight.
        name : str
            In the legend; marks of one name share their entry.
        faint : bool
        titles : sequence of str
            One for each mark, shown when a pointer rests on it.
        sizes : (n,) array or None
            Radius of each dot or ring; None: all alike.
        """
        self.marks.append(
            Mark(shape, np.asarray(x, float), np.asarray(y, float), color % COLORS, faint, titles, sizes)
        )
        if name:
            self.names[name] = (shape, color % COLORS, faint)

    def rule(self, axis: str, at: float) -> None:
        """A dashed line across the chart at a value of the axis "x" or "y"."""
        self.rules.append((axis, at))

    def svg(self) -> str:
        """The drawing."""
        xs = _Scale.of([m.x for m in self.marks], self._at("x"), self.log_x, (self._left, WIDTH - RIGHT))
        frame = (self.height - BOTTOM, TOP)
        if self.rows:
            ys = _Scale(-0.5, len(self.rows) - 0.5, False, frame[::-1])
            y_ticks: Mapping[float, str] = dict(enumerate(self.rows))
        else:
            zero = [np.zeros(1)] if any(m.shape == "bars" for m in self.marks) else []
            ys = _Scale.of([m.y for m in self.marks] + zero, self._at("y"), self.log_y, frame)
            y_ticks = ys.ticks()
        parts = self._axes(xs, ys, y_ticks)
        for axis, at in self.rules:
            place = {"x1": xs(at), "x2": xs(at), "y1": TOP, "y2": frame[0]}
            if axis == "y":
                place = {"x1": self._left, "x2": WIDTH - RIGHT, "y1": ys(at), "y2": ys(at)}
            parts.append(element("line", class_="limit", **place))
        for mark in self.marks:
            parts.append(_drawn(mark, xs, ys))
        return svg(WIDTH, self.height, [*parts, self._legend()], self.label)

    @property
    def _left(self) -> float:
        """Where the axes begin; a letter is about 7 wide."""
        return max(LEFT, 7.2 * max(map(len, self.rows), default=0) + 10)

    def _at(self, axis: str) -> list[Array]:
        return [np.array([at]) for which, at in self.rules if which == axis]

    def _axes(self, xs: _Scale, ys: _Scale, y_ticks: Mapping[float, str]) -> list[str]:
        parts, bottom = [], self.height - BOTTOM
        for value, text in xs.ticks().items():
            at = xs(value)
            parts.append(element("line", class_="grid", x1=at, x2=at, y1=TOP, y2=bottom))
            parts.append(element("text", text, class_="soft", x=at, y=bottom + 16, text_anchor="middle"))
        for value, text in y_ticks.items():
            at = ys(value)
            parts.append(element("line", class_="grid", x1=self._left, x2=WIDTH - RIGHT, y1=at, y2=at))
            parts.append(
                element("text", escape(text), class_="soft", x=self._left - 7, y=at + 4, text_anchor="end")
            )
        middle = (self._left + WIDTH - RIGHT) / 2
        parts.append(
            element("text", escape(self.x), class_="soft", x=middle, y=self.height - 8, text_anchor="middle")
        )
        if self.y:  # above its axis: a turned text is hard to read
            parts.append(element("text", escape(self.y), class_="soft", x=2, y=15))
        return parts

    def _legend(self) -> str:
        """The names at the right of the line above the axes."""
        parts, at = [], float(WIDTH - RIGHT)
        for name, (shape, color, faint) in reversed(self.names.items()):
            at -= 7.0 * len(name)
            parts.append(element("text", escape(name), x=at, y=15))
            kind = _kind(shape, color, faint)
            if shape == "line":
                parts.append(element("path", d=f"M{at - 18:.1f} 11H{at - 5:.1f}", class_=kind))
            else:
                parts.append(element("circle", cx=at - 10, cy=11.0, r=4.0, class_=kind))
            at -= 30
        return "".join(parts)


@dataclass(frozen=True)
class _Scale:
    """From values between low and high to places on the drawing."""

    low: float
    high: float
    log: bool
    frame: tuple[float, float]
    whole: bool = False  # no ticks between whole numbers

    @classmethod
    def of(
        cls, values: Sequence[Array], more: Sequence[Array], log: bool, frame: tuple[float, float]
    ) -> _Scale:
        every = np.concatenate([np.ravel(v) for v in (*values, *more)] or [np.zeros(0)])
        every = every[np.isfinite(every) & ((every > 0) | (not log))]
        low, high = (every.min(), every.max()) if every.size else (0.5, 1.0)
        if log:
            edge = (high / low) ** 0.04 if high > low else 2.0
            return cls(float(low / edge), float(high * edge), True, frame)
        edge = 0.04 * (high - low)
        if high == low:
            low, high = low - (0.5 * abs(low) or 0.5), high + (0.5 * abs(high) or 0.5)
        else:  # an axis may begin or end at 0
            low, high = (low - edge if low else 0.0), (high + edge if high else 0.0)
        return cls(float(low), float(high), False, frame, bool(np.all(every == np.round(every))))

    def __call__(self, value: Any) -> Any:
        low, high = self.low, self.high
        if self.log:
            with np.errstate(invalid="ignore", divide="ignore"):
                value, low, high = np.log(value), math.log(low), math.log(high)
        at = self.frame[0] + (value - low) / (high - low) * (self.frame[1] - self.frame[0])
        return float(at) if np.ndim(at) == 0 else at

    def ticks(self) -> dict[float, str]:
        """A few round values, and how they are written."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, math.ceil((last - first) / 5))
            values = [10.0**k for k in range(first, last + 1, every)]
            if len(values) < 3:
                values = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        else:
            raw = (self.high - self.low) / 5
            power = 10.0 ** math.floor(math.log10(raw))
            step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
            step = max(step, 1.0) if self.whole else step
            values = [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return {v: _written(v) for v in values if self.low <= v <= self.high}


def _written(value: float) -> str:
    exponent = math.floor(math.log10(abs(value)) + 1e-9) if value else 0
    if -4 < exponent < 5:
        return f"{value:.6g}".replace("-", "−")
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    factor = f"{value / 10.0**exponent:.3g}".replace("-", "−")
    return power if factor == "1" else f"{factor}·{power}"


def _kind(shape: str, color: int, faint: bool) -> str:
    """The classes of page.css."""
    return f"{'dots' if shape == 'bars' else shape} s{color}" + (" faint" if faint else "")


def _drawn(mark: Mark, xs: _Scale, ys: _Scale) -> str:
    kind = _kind(mark.shape, mark.color, mark.faint)
    if mark.shape == "line":
        return element("path", d=_path(*_envelope(mark.x, mark.y), xs, ys), class_=kind)
    parts = []
    across, up = xs(mark.x), ys(mark.y)
    width = max(1.0, (across.max() - across.min()) / max(1, len(across) - 1) * 0.85) if len(across) else 0.0
    for i, (x, y) in enumerate(zip(across, up, strict=True)):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        said = tooltip(mark.titles[i]) if mark.titles else ""
        if mark.shape == "bars":
            base = ys(0.0)
            box = {"x": x - width / 2, "width": width, "y": min(y, base), "height": abs(y - base)}
            parts.append(element("rect", said, **{k: float(v) for k, v in box.items()}))
        else:
            r = 3.4 if mark.sizes is None else float(mark.sizes[i])
            parts.append(element("circle", said, cx=float(x), cy=float(y), r=r))
    return element("g", "".join(parts), class_=kind) if parts else ""


def _envelope(x: Array, y: Array) -> tuple[Array, Array]:
    """The line itself, or of a long one the least and the greatest value of each piece."""
    pieces = len(x) // POINTS
    if pieces < 3:
        return x, y
    n = len(x) // pieces * pieces
    parts = y[:n].reshape(-1, pieces)
    bounds = np.stack([parts.min(axis=1), parts.max(axis=1)], axis=1).ravel()
    return np.repeat(x[:n:pieces], 2), bounds


def _path(x: Array, y: Array, xs: _Scale, ys: _Scale) -> str:
    """The ``d`` of a path; it begins anew after what is not finite."""
    words, pen = [], "M"
    for across, up in zip(xs(x), ys(y), strict=True):
        if not (math.isfinite(across) and math.isfinite(up)):
            pen = "M"
            continue
        words.append(f"{pen}{across:.1f} {up:.1f}")
        pen = "L"
    return "".join(words)
