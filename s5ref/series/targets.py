"""Targets: whether they are classes or real numbers is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.series.numbers import missing, reals
from s5ref.series.series import shown
from s5ref.settings import check_word

Task = Literal["auto", "classes", "real"]
_LONGEST = 200  # characters of a class: an array of text takes for each what the longest takes
_MOST = 50  # distinct whole numbers that may be classes


@dataclass(frozen=True)
class Target:
    """What is to be predicted of each series.

    Attributes
    ----------
    name : str
    y : (n,) array
        Classes: text, booleans or integers; real: float64.
    task : {"classes", "real"}
    note : str
        Why, where both were possible; else "".
    """

    name: str
    y: Array
    task: str
    note: str = ""

    def __str__(self) -> str:
        if self.task == "real":
            told = f"real, {self.y.min():.6g} to {self.y.max():.6g}"
        else:
            classes, counts = np.unique(self.y, return_counts=True)
            some = [f"{str(c)[:40]} {k}" for c, k in zip(classes[:6], counts, strict=False)]
            each = ", ".join([*some, "…"] if len(classes) > 6 else some)
            told = f"{len(classes)} {'class' if len(classes) == 1 else 'classes'} ({each})"
        return f"target {self.name!r}: {told}{self.note}"


def as_target(column: Sequence[Any] | Array, name: str = "y", task: Task = "auto") -> Target:
    """A column of targets as classes or as real numbers.

    Parameters
    ----------
    column : (n,) sequence
        Text that reads as numbers is numbers.
    name : str
        Its name, for messages.
    task : {"auto", "classes", "real"}
        "auto": text and booleans are classes, numbers with fractions are real. Whole numbers are classes if
        they have at most 50 distinct values, each of which occurs twice on average, or at most 2;
        `Target.note` says what was chosen.

    Returns
    -------
    Target

    Raises
    ------
    DataError
        On a missing or infinite target, and on values that the task does not allow.
    ConfigError
        On another ``task``.
    """
    check_word("target", "task", task, ("auto", "classes", "real"))
    where = f"target {name!r}"
    values = np.asarray(column, dtype=object)
    if values.ndim != 1:
        raise DataError(
            f"{where}: must be one value a series; got shape {values.shape}.", "Give (n,) targets."
        )
    for i, value in enumerate(values):
        if missing(value):
            raise DataError(
                f"{where}: the target of row {i} is missing.", "Leave the row out, or fill it in."
            )
    boolean = all(isinstance(value, bool | np.bool_) for value in values)
    numbers = _numbers(values)
    if task != "real" and (boolean or numbers is None):
        return Target(name, values.astype(bool) if boolean else _text(values, where), "classes")
    if numbers is None:
        numbers = reals(values, where, ("row",))  # says which is no number
    if not np.isfinite(numbers).all():
        i = int(np.argmin(np.isfinite(numbers)))
        raise DataError(f"{where}: must be finite; row {i} is {numbers[i]}.", "Leave the row out.")
    whole = bool((numbers == np.floor(numbers)).all() and np.abs(numbers).max(initial=0) < 2**53)
    distinct = len(np.unique(numbers))
    few = distinct <= max(2, min(_MOST, len(numbers) // 2))
    if task == "classes" and not whole:
        fraction = numbers[numbers != np.floor(numbers)][:1]
        raise DataError(
            f"{where}: classes must be text or whole numbers; got {shown(fraction)}.",
            "Take them as real numbers, or give the classes names.",
        )
    if task == "classes" or (task == "auto" and whole and few):
        note = "; whole numbers, taken as classes" if task == "auto" and distinct > 10 else ""
        return Target(name, numbers.astype(np.int64), "classes", note)
    note = "; whole numbers, taken as real" if task == "auto" and whole else ""
    return Target(name, numbers, "real", note)


def _numbers(values: Array) -> Array | None:
    """float64, if all values are numbers or text that reads as numbers."""
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError):
        return None


def _text(values: Array, where: str) -> Array:
    """Text of a bounded length."""
    text = [str(value) for value in values]
    longest = max(text, key=len)
    if len(longest) > _LONGEST:
        raise DataError(
            f"{where}: the name of a class must have at most {_LONGEST} characters; got {shown([longest])}.",
            "Choose the column that holds the classes.",
        )
    return np.array(text)
