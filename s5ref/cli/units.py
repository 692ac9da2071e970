"""Numbers as people read them; "–": not known, not measured."""

from __future__ import annotations

from collections.abc import Sequence

from s5ref.terminal import NOTHING as NOTHING
from s5ref.terminal import clock as clock
from s5ref.terminal import percent as percent
from s5ref.terminal import score as score

BLOCKS = "▁▂▃▄▅▆▇█"


def figure(accuracy: float | None, mse: float | None) -> str:
    """The accuracy, or of a regression the mean squared error."""
    return f"accuracy {percent(accuracy)}" if accuracy is not None else number(mse, form="MSE {:.4g}")


def size(count: float | None) -> str:
    """12345678 bytes → 11.8 MiB."""
    if count is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float | None) -> str:
    """12.3 → 12.3 s; 0.0456 → 45.6 ms; 0.00012 → 120 µs."""
    if seconds is None:
        return NOTHING
    factor, unit = (1, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")
    return f"{seconds * factor:.3g} {unit}"


def rate(value: float | None, unit: str = "") -> str:
    """2.9e12 → 2.9 T."""
    if value is None:
        return NOTHING
    letter, scale = ("T", 1e12) if value >= 1e12 else ("G", 1e9)
    return f"{value / scale:.3g} {letter}{unit}"


def number(value: float | None, form: str = "{:.3g}") -> str:
    """``value`` in the ``form`` of `str.format`, by default three significant digits."""
    return NOTHING if value is None else form.format(value)


def bars(values: Sequence[float | None], zero: bool = False) -> str:
    """A bar of text for each of at most 60 values; a blank where one is missing. They begin at the least
    value, or with ``zero`` at 0, where what is below 0 is drawn too; the tallest is the largest size.
    """
    values = values[:: -(-len(values) // 60)]
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    if zero:
        low, high = 0.0, max(-low, high)
    span = high - low if high > low else 1.0
    return "".join(
        " " if value is None else BLOCKS[round(max(value - low, 0.0) / span * (len(BLOCKS) - 1))]
        for value in values
    )
