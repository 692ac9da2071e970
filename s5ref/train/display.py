"""Progress for people: a live bar where a line can be redrawn, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from s5ref.terminal import EVERY, Timer, clock, console, live, percent
from s5ref.train.results import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

AT_LEAST = 2.0  # seconds between two lines at epochs' ends


class Display:
    """Shows `Progress` values on stderr; use as a context manager and call it. ``note`` writes a line."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self._bar = _bar(console(sys.stderr))
        self._task = self._bar.add_task("first update", total=None, facts="")
        self._timer = Timer()

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, p: Progress, label: str = "") -> None:
        """Show ``p``, with the label before it."""
        evaluating = p.phase in ("validation", "test")
        evaluation = f"{p.phase} {100 * p.done:3.0f} %"
        if not self._bar.disable:
            what = evaluation if evaluating else f"epoch {p.epoch}/{p.epochs}"
            parts = _facts(p)
            if evaluating:
                parts.pop("loss", None)  # that of training
            width = self._bar.console.width
            shown = ("validation", "eta") if width < 90 else tuple(parts) if width >= 140 else (
                "loss", "accuracy", "validation", "eta")  # fmt: skip
            facts = "  ".join(parts[key] for key in shown if key in parts)
            self._bar.update(
                self._task, description=label + what, completed=p.step, total=p.steps, facts=facts
            )
        elif self._timer.due(AT_LEAST if p.phase == "epoch" else EVERY):
            where = f"epoch {p.epoch}/{p.epochs}  step {p.step}/{p.steps}  " + "  ".join(_facts(p).values())
            self.note(label + (evaluation if evaluating else where))


def _facts(p: Progress) -> dict[str, str]:
    """What is known, each number with its name."""
    facts = {} if math.isnan(p.loss) else {"loss": f"loss {p.loss:.4f}"}
    if p.accuracy is not None:
        facts["accuracy"] = f"accuracy {percent(p.accuracy, 1)}"
    if p.record is not None:
        facts["validation"] = _validation(p)
    if p.steps_per_s:
        facts |= {"pace": f"{p.steps_per_s:.3g} steps/s", "eta": f"ETA {clock(p.eta)}"}
    return facts


def _validation(p: Progress) -> str:
    """Of the last epoch, and of the best one."""
    assert p.record is not None
    classes = p.record["val_accuracy"] is not None

    def shown(error: float | None, accuracy: float | None) -> str:
        return percent(accuracy, 1) if classes else "not finite" if error is None else f"{error:.4g}"

    here = shown(p.record.get("val_mse", p.record["val_loss"]), p.record["val_accuracy"])
    best = f", best {shown(p.best.error, p.best.accuracy)} at epoch {p.best.epoch}" if p.best else ""
    return f"validation {'accuracy' if classes else 'MSE'} {here}{best}"


def _bar(to: Console) -> Bar:
    """A bar that fits: on a narrow terminal the numbers stay and the bar goes. Elsewhere it shows nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns: list[Any] = [TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))]
    if to.width >= 140:
        columns.append(BarColumn(bar_width=None if to.width < 160 else 40))
    if to.width >= 110:
        columns.append(MofNCompleteColumn())
    columns.append(TextColumn("{task.fields[facts]}", markup=False))
    return Bar(*columns, console=to, transient=True, disable=not live(to.file))
