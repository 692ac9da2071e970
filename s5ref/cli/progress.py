"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from s5ref.cli.output import Output, console, live
from s5ref.cli.units import clock, percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from s5ref.train.results import Progress

EVERY = 10.0  # seconds between two lines
AT_LEAST = 2.0  # seconds between two lines at epochs' ends


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


class Display:
    """Shows `Progress` values; use as a context manager and call it."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self._bar = _bar(console(sys.stderr))
        self._task = self._bar.add_task("starting", total=None, facts="")
        self._timer = Timer()
        self._validated: Progress | None = None

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, p: Progress, label: str = "") -> None:
        """Show ``p``, with the label before it."""
        if not self._bar.disable:
            what = f"epoch {p.epoch}/{p.epochs}" if p.phase == "train" else f"{p.phase} {100 * p.done:3.0f} %"
            narrow = self._bar.console.width < 70
            facts = f"{p.loss:.3f}  {percent(p.accuracy)}  {clock(p.eta)}" if narrow else _facts(p)
            self._bar.update(
                self._task, description=label + what, completed=p.step, total=p.steps, facts=facts
            )
            return
        # the evaluation of an epoch that ended is shown with the next value: its accuracy is known by then
        ended, self._validated = (None, p) if p.phase == "validation" else (self._validated, None)
        if self._timer.due(AT_LEAST if ended else EVERY):
            p = ended or p
            where = f"epoch {p.epoch}/{p.epochs}  step {p.step}/{p.steps}  {_facts(p)}"
            evaluating = p.phase != "train" and p.done < 1
            self.out.note(label + (f"{p.phase} {100 * p.done:.0f} %" if evaluating else where))


def _facts(p: Progress) -> str:
    parts = [] if math.isnan(p.loss) else [f"loss {p.loss:.4f}"]
    if p.accuracy is not None:
        parts.append(f"accuracy {percent(p.accuracy)}")
    if p.steps_per_s:
        parts += [f"{p.steps_per_s:.3g} steps/s", f"ETA {clock(p.eta)}"]
    return "  ".join(parts)


def _bar(to: Console) -> Bar:
    """A bar that fits: on a narrow terminal the numbers stay and the bar goes. Elsewhere it shows nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns: list[Any] = [TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))]
    if to.width >= 100:
        columns.append(BarColumn(bar_width=None if to.width < 120 else 40))
    if to.width >= 80:
        columns.append(MofNCompleteColumn())
    columns.append(TextColumn("{task.fields[facts]}", markup=False))
    return Bar(*columns, console=to, transient=True, disable=not live(to.file))


@contextlib.contextmanager
def fractions(out: Output, what: str) -> Iterator[Callable[[float], None]]:
    """A callback that is told the fraction done of ``what``."""
    from rich.progress import Progress as Bar

    timer = Timer()
    with Bar(console=console(sys.stderr), transient=True, disable=not live(sys.stderr)) as bar:
        task = bar.add_task(what, total=1.0)

        def report(done: float) -> None:
            bar.update(task, completed=done)
            if bar.disable and timer.due():
                left = (time.monotonic() - timer.began) * (1 - done) / done
                out.note(f"{what}  {100 * done:.0f} %  ETA {clock(left)}")

        yield report


@contextlib.contextmanager
def compiling(out: Output) -> Iterator[None]:
    """Within, one line is printed if and when Numba compiles (the NUMBA engine says so itself)."""
    from numba.core.event import Listener, install_listener

    class Notice(Listener):
        told = False

        def on_start(self, event: Any) -> None:
            if not self.told:
                self.told = True
                out.note("compiling kernels (once)")

        def on_end(self, event: Any) -> None:
            pass

    with install_listener("numba:compile", Notice()):
        yield
