"""The classes of a confusion matrix on the screen, of a trained model and of a fitted estimator alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s5ref.cli.output import Output
from s5ref.cli.units import percent

if TYPE_CHECKING:
    from s5ref.arrays import Array

ROWS = 12  # classes on the screen


def class_table(counts: Array, labels: Sequence[str], out: Output) -> None:
    """The classes of a confusion matrix (K, K) that are found least."""
    from s5ref.show.answers import per_class

    rows = per_class(counts)
    worst = sorted(rows, key=lambda row: 2.0 if row.recall is None else row.recall)[:ROWS]
    out.table([{
        ">class": labels[row.label], ">examples": str(row.support), ">recall": percent(row.recall),
        ">precision": percent(row.precision),
        "taken for": ", ".join(f"{labels[k]} ({count})" for k, count in row.taken_for[:4]) or "nothing else",
    } for row in sorted(worst)])  # fmt: skip
    if len(rows) > ROWS:
        out.say(f"  the {ROWS} classes of the lowest recall of {len(rows)}")
