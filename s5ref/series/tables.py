"""Tables: rows of named columns, of a file or a frame, as a Series with its targets.

Wide: a row is a series and its columns are the steps. Long: a row is one step of the series that its id
names, and its columns are the channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import ConfigError, DataError, suggest
from s5ref.series.numbers import missing, reals, seconds
from s5ref.series.series import Names, Series, checked, shown
from s5ref.series.targets import Target, Task, as_target
from s5ref.series.tokens import one_hot


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """What was read: the series, the target of each where there is one, and the ids where there are any.

    Attributes
    ----------
    series : Series
    target : Target or None
    ids : tuple or None
        Of the series, in their order, which is that of the rows.
    tokens : bool
        The channels of the series are an alphabet.
    """

    series: Series
    target: Target | None = None
    ids: tuple[Any, ...] | None = None
    tokens: bool = False

    @property
    def y(self) -> Array | None:
        """(n,) the targets, None where there are none."""
        return None if self.target is None else self.target.y

    @property
    def description(self) -> str:
        """What was understood, as a sentence."""
        alphabet = f"; tokens {shown(self.series.channels or ())}, a channel each" if self.tokens else ""
        return f"{self.series!r}{alphabet}" + (f"; {self.target}" if self.target else "")

    def __repr__(self) -> str:
        return self.description

    def training(self) -> tuple[Series, Array]:
        """The series and their targets, if an estimator can be fitted to them.

        Raises
        ------
        DataError
            Without targets, with a single series, or a single class.
        """
        if self.target is None:
            raise DataError("Fitting needs a target; none was named.", "Name its column: target='label'.")
        if len(self.series) < 2:
            raise DataError(
                "Fitting needs at least 2 series; got 1.", "Add examples; id= makes a table long."
            )
        if self.target.task == "classes" and len(np.unique(self.target.y)) < 2:
            raise DataError(
                f"Fitting needs at least 2 classes; every {self.target.name} is {shown(self.target.y[:1])}.",
                "Add examples of other classes, or name another target.",
            )
        return self.series, self.target.y


def is_frame(x: Any) -> bool:
    """Whether ``x`` is a frame of pandas or polars, or a table of pyarrow."""
    return hasattr(x, "columns") and (hasattr(x, "to_numpy") or hasattr(x, "column_names"))


def from_frame(
    frame: Any,
    *,
    target: str | int | None = None,
    id: str | int | None = None,
    time: str | int | None = None,
    task: Task = "auto",
    tokens: bool | Sequence[str] = False,
    where: str = "frame",
) -> Table:
    """The series of a DataFrame of pandas or polars, or of a table of pyarrow.

    Parameters
    ----------
    frame : DataFrame
        Wide or long, see `from_columns`. The index of pandas is not looked at.
    target, id, time : str, int or None
        The columns of targets, of the series' names and of times, by name or position. Every other column
        holds numbers.
    task : {"auto", "classes", "real"}
        What the targets are, see `as_target`.
    tokens : bool or sequence of str
        The numbers are symbols, see `from_columns`.
    where : str
        What the frame is, for messages.

    Returns
    -------
    Table

    Raises
    ------
    ConfigError
        On a column that is not there.
    DataError
        On content that is no series; see `from_columns`.
    """
    names = getattr(frame, "column_names", None) or list(frame.columns)
    columns = [np.asarray(frame[name]) for name in names] if len(set(names)) == len(names) else []
    roles = find_columns(where, [str(name) for name in names], target=target, id=id, time=time)
    rest = [j for j in range(len(names)) if j not in roles.values()]
    values = [reals(columns[j], f"{where}: column {str(names[j])!r}", ("row",)) for j in rest]
    n = len(columns[0])
    return from_columns(
        where,
        [str(names[j]) for j in rest],
        np.column_stack(values).ravel() if values else np.zeros(0),
        np.full(n, len(rest)),
        {role: (str(names[j]), columns[j]) for role, j in roles.items()},
        task,
        tokens,
    )


def find_columns(where: str, names: Sequence[str], **roles: str | int | None) -> dict[str, int]:
    """The position of the column that each role names, by its name, or else by its position; -1 is the last.

    Raises
    ------
    ConfigError
        Where there is no such column, or two roles have the same.
    DataError
        Where two columns have the same name, or there is none.
    """
    if not names:
        raise DataError(f"{where}: must have columns; there are none.", "Check that it is the right one.")
    if twice := [name for k, name in enumerate(names) if name in set(names[:k])][:1]:
        raise DataError(
            f"{where}: the names of columns must differ; got {shown(twice)} twice.", "Rename one."
        )
    found: dict[str, int] = {}
    for role, name in roles.items():
        if name is None:
            continue
        if str(name) in names:
            k = names.index(str(name))
        elif re.fullmatch(r"-?\d{1,9}", str(name)) and -len(names) <= int(name) < len(names):
            k = int(name) % len(names)
        else:
            raise ConfigError(
                f"{where}: {role} must be one of its columns ({shown(names)}); got {shown([name])}.",
                f"{suggest(str(name), names)}Choose one of them, or a position from 0 to {len(names) - 1}.",
            )
        if k in found.values():
            raise ConfigError(
                f"{where}: {role} and another role must be different columns; both are {shown([names[k]])}.",
                "Name another column for one of them.",
            )
        found[role] = k
    return found


def from_columns(
    where: str,
    names: Sequence[str] | None,
    values: Array,
    widths: Array,
    named: Mapping[str, tuple[str, Any]],
    task: Task = "auto",
    tokens: bool | Sequence[str] = False,
) -> Table:
    """The Table of numbers row by row and of the columns that have a role.

    Parameters
    ----------
    where : str
        The source, for messages.
    names : sequence of str or None
        Of the columns of numbers, where the source has them.
    values : (sum of widths,) float64
        The numbers of one row behind those of another; NaN is a missing value.
    widths : (rows,) int64
        How many numbers each row has; of a wide table the last may be missing.
    named : mapping
        From "id", "time" and "target" to the name and the column, one value a row.
    task : {"auto", "classes", "real"}
    tokens : bool or sequence of str
        True: the numbers are integers that stand for symbols, and become one-hot channels over all that
        occur. A sequence: over these symbols.

    Returns
    -------
    Table
        Long if there are times, or an id that several rows have; without an id it is one series. Otherwise
        wide: missing values at the end of a row, in all channels, are the end of its series; columns named
        like ``temp_0, temp_1, …, hum_0, …`` are the channels temp and hum, which must have the same steps.

    Raises
    ------
    DataError
        Without rows or columns of numbers; on a target that is not the same throughout its id; on channels of
        unequal steps; on tokens that are no integers, or several columns of them; and as `checked`.
    """
    if len(widths) == 0 or widths.max() == 0:
        what = "rows" if len(widths) == 0 else "columns of numbers beside those that have a role"
        raise DataError(f"{where}: must have {what}; there are none.", "Check that it is the right one.")
    for role, (name, column) in named.items():
        if (k := next((k for k, value in enumerate(column) if missing(value)), None)) is not None:
            raise DataError(
                f"{where}: row {k}: the {role} {name!r} is missing.", "Leave the row out, or fill it in."
            )
    rows = np.arange(len(widths))
    ids: tuple[Any, ...] | None = None
    if "id" in named:
        index: dict[Any, int] = {}
        codes = np.array([index.setdefault(value, len(index)) for value in named["id"][1]])
        ids = tuple(index)
    if "time" in named or (ids is not None and len(ids) < len(rows)):
        codes = np.zeros(len(rows), np.int64) if ids is None else codes
        times = (
            seconds(named["time"][1], f"{where}: column {named['time'][0]!r}") if "time" in named else None
        )
        order = np.argsort(codes, kind="stable") if times is None else np.lexsort((times, codes))
        lengths, rows = np.bincount(codes), np.unique(codes, return_index=True)[1]
        if (widths != widths[0]).any():
            k = int(np.argmax(widths != widths[0]))
            raise DataError(
                f"{where}: every row must have {widths[0]} values; row {k} has {widths[k]}.",
                "Complete the row.",
            )
        steps, channels = values.reshape(len(codes), -1)[order], names
        times = None if times is None else times[order]
        if "target" in named:
            _check_constant(where, named["target"], codes, rows, ids)
    else:
        steps, lengths, channels = _wide(where, names, values, widths, Names(ids))
        times = None
    if tokens is not False:
        steps, channels = _one_hot(where, steps, lengths, tokens, Names(ids, channels))
    series = checked(steps, lengths, times, Names(ids, channels))
    target = None
    if "target" in named:
        name, column = named["target"]
        target = as_target([column[k] for k in rows], name, task)
    return Table(series, target, ids, tokens is not False)


def _one_hot(
    where: str, steps: Array, lengths: Array, tokens: bool | Sequence[str], told: Names
) -> tuple[Array, list[str]]:
    """(T, A) values and the alphabet of one column (T, 1) of integers."""
    if steps.shape[1] != 1:
        columns = "" if told.channels is None else f" ({shown(told.channels)})"
        raise DataError(
            f"{where}: tokens must be a single column; got {steps.shape[1]}{columns}.",
            "Leave the other columns out of the file, or leave tokens out.",
        )
    symbols = steps[:, 0]
    if (wrong := np.flatnonzero(~(np.abs(symbols) < 2**53) | (symbols % 1 != 0))).size:  # NaN is wrong too
        i = int(np.searchsorted(np.cumsum(lengths), wrong[0], side="right"))
        got = "a missing value" if np.isnan(symbols[wrong[0]]) else f"{symbols[wrong[0]]:g}"
        raise DataError(
            f"{where}: {told.series(i)}: tokens must be integers; got {got}.",
            "Leave tokens out for real numbers; give what is missing an integer of its own.",
        )
    sequences = np.split(symbols.astype(np.int64), np.cumsum(lengths)[:-1])
    values, _, alphabet = one_hot(sequences, None if tokens is True else tuple(tokens))  # type: ignore[arg-type]
    return values, list(alphabet)


def _check_constant(
    where: str, named: tuple[str, Any], codes: Array, first: Array, ids: Sequence[Any] | None
) -> None:
    name, column = named
    for k, code in enumerate(codes):
        if column[k] != (want := column[first[code]]):
            here = Names(ids).series(int(code))
            raise DataError(
                f"{where}: {here} must have one {name}; got {shown([want, column[k]])}.",
                "A target is of a whole series: name another column, or cut the series where it changes.",
            )


def _wide(
    where: str, names: Sequence[str] | None, values: Array, widths: Array, told: Names
) -> tuple[Array, Array, list[str] | None]:
    """(T, C) values, lengths and the names of channels, of rows that are series."""
    channels, columns = _channels(where, names or [])
    parts = []
    for i, row in enumerate(np.split(values, np.cumsum(widths)[:-1])):
        if channels is None:
            part = row[:, None]
        else:
            whole = np.full(columns.size, np.nan)
            whole[: len(row)] = row
            part = whole[columns]
        known = ~np.isnan(part)
        if not known.any(axis=0).all():
            c = int(np.argmin(known.any(axis=0)))
            here = Names(told.ids, channels).channel(i, c)
            raise DataError(
                f"{where}: {here}: must have at least one value; all are missing.",
                "Leave the series or the channel out.",
            )
        parts.append(part[: np.flatnonzero(known.any(axis=1))[-1] + 1])
    return np.concatenate(parts), np.array([len(part) for part in parts]), channels


def _channels(where: str, names: Sequence[str]) -> tuple[list[str] | None, Array]:
    """The channels that the names of columns tell, with their (L, C) columns; None where there is one."""
    groups: dict[str, dict[int, int]] = {}
    for k, name in enumerate(names):
        match = re.fullmatch(r"(.*?)[ _.\-]?(\d{1,9})", name)
        if not match or not re.search(r"[^\W\d_]", match[1]):  # 850.5 is a wavelength and no step of "850"
            return None, np.zeros(0, int)
        steps = groups.setdefault(match[1], {})
        if steps.setdefault(int(match[2]), k) != k:
            raise DataError(
                f"{where}: step {int(match[2])} of {shown([match[1]])} is there twice.", "Rename one."
            )
    if len(groups) < 2 or max(map(len, groups.values())) < 2:
        return None, np.zeros(0, int)
    (first, steps), *others = groups.items()
    for name, own in others:
        if own.keys() != steps.keys():
            raise DataError(
                f"{where}: all channels must have the same steps; {shown([first])} has {len(steps)} and "
                f"{shown([name])} {len(own)}, or others.",
                "Complete the columns (empty fields are missing values), or use a long table: id= and time=.",
            )
    return list(groups), np.array([[own[step] for own in groups.values()] for step in sorted(steps)])
