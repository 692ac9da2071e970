"""What a terminal, a notebook or a pipe can show, and numbers as people read them; "–": not known."""

from __future__ import annotations

import math
import os
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 200  # of tables that no terminal cuts
EVERY = 10.0  # seconds between two lines of progress
NOTHING = "–"


def console(stream: Any) -> Console:
    """A rich console that prints text as it is."""
    from rich.console import Console

    width = None if stream.isatty() or in_notebook() else PIPED_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def live(stream: Any) -> bool:
    """Whether the stream is a terminal that can redraw a line, or a notebook that can."""
    if in_notebook():
        return find_spec("ipywidgets") is not None
    return bool(stream.isatty()) and os.environ.get("TERM", "") not in ("dumb", "unknown")


def in_notebook() -> bool:
    """Whether this is a Jupyter notebook."""
    from rich.console import Console

    return Console().is_jupyter


def percent(fraction: float | None, digits: int = 2) -> str:
    """0.9778 → 97.78 %."""
    return NOTHING if fraction is None else f"{100 * fraction:.{digits}f} %"


def score(value: float | None, classes: bool) -> str:
    """A score of an estimator: 0.9778 → accuracy 97.78 %, of a regression R² 0.9778."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"accuracy {percent(value)}" if classes else f"R² {value:.4f}"


def clock(seconds: float) -> str:
    """92.4 → 1:32; 4000 → 1:06:40."""
    if not math.isfinite(seconds):
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours / 24:.1f} days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Timer:
    """When a line was last written."""

    def __init__(self) -> None:
        self.began = self._last = time.monotonic()

    def due(self, seconds: float = EVERY) -> bool:
        """Whether the last line is so old; the next one counts from here then."""
        if time.monotonic() - self._last < seconds:
            return False
        self._last = time.monotonic()
        return True
