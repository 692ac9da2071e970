"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from s5ref.cli.output import Output, clock, console, live, percent

if TYPE_CHECKING:
    from s5ref.train.results import Progress

EVERY = 10.0  # seconds between two lines
AT_LEAST = 2.0  # seconds between two lines at epochs' ends


class Display:
    """Shows `Progress` values; use as a context manager and call it. ``label`` goes before each."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.label = ""
        self._bar: Any = None
        self._task: Any = None
        self._said = time.monotonic()
        self._validated: Progress | None = None

    def __enter__(self) -> Display:
        if live(sys.stderr):
            self._bar = _bar(console(sys.stderr))
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, facts="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, p: Progress) -> None:
        if self._bar is not None:
            what = f"epoch {p.epoch}/{p.epochs}" if p.phase == "train" else f"{p.phase} {100 * p.done:3.0f} %"
            self._bar.update(
                self._task,
                description=self.label + what,
                completed=p.step,
                total=p.steps,
                facts=self._brief(p),
            )
            return
        now = time.monotonic()
        if p.phase == "validation":
            self._validated = p
        ended = p.phase != "validation" and self._validated is not None  # by now with the new accuracy
        if now - self._said >= (AT_LEAST if ended else EVERY):
            shown = self._validated if ended and self._validated else p
            where = f"epoch {shown.epoch}/{shown.epochs}  step {shown.step}/{shown.steps}  {_facts(shown)}"
            evaluating = shown.phase != "train" and shown.done < 1
            self.out.note(self.label + (f"{shown.phase} {100 * shown.done:.0f} %" if evaluating else where))
            self._said = now
        if ended:
            self._validated = None

    def _brief(self, p: Progress) -> str:
        """What fits beside the description on a narrow terminal."""
        if self._bar.console.width >= 70:
            return _facts(p)
        return f"{p.loss:.3f}  {percent(p.accuracy)}  {clock(p.eta)}"


def _facts(p: Progress) -> str:
    parts = [] if math.isnan(p.loss) else [f"loss {p.loss:.4f}"]
    if p.accuracy is not None:
        parts.append(f"accuracy {percent(p.accuracy)}")
    if p.steps_per_s:
        parts += [f"{p.steps_per_s:.3g} steps/s", f"ETA {clock(p.eta)}"]
    return "  ".join(parts)


def _bar(to: Any) -> Any:
    """A bar that fits: on a narrow terminal the numbers stay and the bar goes."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns: list[Any] = [TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))]
    if to.width >= 100:
        columns.append(BarColumn(bar_width=None if to.width < 120 else 40))
    if to.width >= 80:
        columns.append(MofNCompleteColumn())
    columns.append(TextColumn("{task.fields[facts]}", markup=False))
    return Bar(*columns, console=to, transient=True, expand=False)


@contextlib.contextmanager
def fractions(out: Output, what: str) -> Iterator[Any]:
    """A callback that is told the fraction done of ``what``."""
    began = said = time.monotonic()
    bar: Any = None
    if live(sys.stderr):
        from rich.progress import Progress as Bar

        bar = Bar(console=console(sys.stderr), transient=True)
        bar.start()
        task = bar.add_task(what, total=1.0)

    def report(done: float) -> None:
        nonlocal said
        if bar is not None:
            bar.update(task, completed=done)
        elif time.monotonic() - said >= EVERY:
            said = time.monotonic()
            out.note(f"{what}  {100 * done:.0f} %  ETA {clock((said - began) * (1 - done) / done)}")

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()


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
