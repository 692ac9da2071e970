"""Progress of other things than training on stderr: a live bar on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from s5ref.cli.output import Output
from s5ref.terminal import Timer, clock, console, live


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
