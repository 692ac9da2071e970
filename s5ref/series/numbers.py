"""Any array, list or column as float64, where a missing value is NaN; moments as seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.series.series import shown

MISSING = ("", "nan", "na", "n/a", "null", "none", "?")  # in text, in any case


def reals(x: Any, where: str, axes: Sequence[str]) -> Array:
    """The numbers of an array as float64.

    Parameters
    ----------
    x : array
        Numbers, booleans, or objects that are numbers; None and pandas' NA are NaN.
    where : str
        What it is, for messages.
    axes : sequence of str
        What its axes count, for messages: ``("series", "step")``.

    Raises
    ------
    DataError
        On text, dates, complex numbers and other objects, naming the place of the first.
    """
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan)
    x = np.asarray(x)
    out: Array = np.empty(x.shape)
    if x.dtype.kind in "fiub":
        out[...] = x
        return out
    for index, value in np.ndenumerate(x):
        try:
            if isinstance(value, str | bytes | complex | np.datetime64 | np.timedelta64):
                raise TypeError
            out[index] = np.nan if missing(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))
            raise DataError(
                f"{where}, {place}: must be a number; got {shown([value])}.",
                "Make numbers of it, or leave it out (dates: times=, text: tokens=True).",
            ) from None
    return out


def missing(value: Any) -> bool:
    """Whether a value of a column is none: None, NaN, NaT, pandas' NA, or text that says so."""
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


def seconds(column: Any, where: str) -> Array:
    """A column of times as float64: numbers as they are, moments as seconds since the first of them.

    Parameters
    ----------
    column : sequence
        Numbers, numbers in text, ``datetime`` objects or their text by ISO 8601, NumPy's datetime64 or
        timedelta64.
    where : str
        What it is, for messages.

    Raises
    ------
    DataError
        On anything else.
    """
    x = np.asarray(column)
    if x.dtype.kind in "mM":
        since = x - x.min() if x.dtype.kind == "M" else x
        return (since / np.timedelta64(1, "s")).astype(np.float64)
    if x.dtype.kind not in "UO":
        return reals(x, where, ("row",) * x.ndim)
    try:
        return x.astype(np.float64)
    except (TypeError, ValueError):
        pass
    try:
        moments = [datetime.fromisoformat(str(value).strip()) for value in x.flat]
        first = min(moments)
        return np.reshape([(moment - first).total_seconds() for moment in moments], x.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{where}: must be numbers, or dates as 2026-01-31T12:00:00; {error}.",
            "Write all times in one of these ways, with a time zone everywhere or nowhere.",
        ) from error
