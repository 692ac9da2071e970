"""`Series`: the one form in which series reach the estimators, and what raw numbers must be to take it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError


class SeriesWarning(UserWarning):
    """Data was completed or left out; the message says how much and how."""


def warn(message: str) -> None:
    """A `SeriesWarning` at the line that called s5ref."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("s5ref."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, SeriesWarning, stacklevel=level)


@dataclass(frozen=True, eq=False, repr=False)
class Series:
    """n series of C channels, of equal or unequal lengths, one behind the other.

    Attributes
    ----------
    values : (T, C) float64
        Finite; time-major, all series one behind the other.
    offsets : (n + 1,) int64
        Series i is ``values[offsets[i] : offsets[i + 1]]``.
    times : (T,) float64 or None
        Strictly increasing within each series. None: regular sampling, one step apart.
    channels : tuple of str or None
        Their names, where the source had them; of tokens, the alphabet.
    """

    values: Array
    offsets: Array
    times: Array | None = None
    channels: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """(n,) int64: the number of steps of each series."""
        return np.diff(self.offsets)

    @property
    def regular(self) -> bool:
        """Whether all intervals between steps are equal, up to rounding."""
        d = self.intervals
        return d is None or d.size == 0 or bool(np.ptp(d) <= 1e-6 * np.max(d))

    @property
    def intervals(self) -> Array | None:
        """(T − n,) between the steps of each series, all series one behind the other; None without times."""
        if self.times is None:
            return None
        return np.delete(np.diff(self.times), self.offsets[1:-1] - 1)

    def __getitem__(self, key: Any) -> Series:
        """The series of an index, a slice, an array of indices or of booleans, as a Series."""
        chosen = np.atleast_1d(np.arange(len(self))[key])
        lengths = self.lengths[chosen]
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        times = None if self.times is None else self.times[rows]
        return Series(self.values[rows], offsets, times, self.channels)

    def __iter__(self) -> Iterator[Series]:
        return (self[i] for i in range(len(self)))

    def padded(self, dtype: Any = np.float64) -> tuple[Array, Array]:
        """(n, L, C) values, zeros behind the end of a series, and the (n,) lengths; L is the longest."""
        lengths = self.lengths
        padded = np.zeros((len(self), lengths.max(initial=0), self.values.shape[1]), dtype)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = self.values
        return padded, lengths

    def __repr__(self) -> str:
        low, high = (int(f(self.lengths)) if len(self) else 0 for f in (np.min, np.max))
        each = f" {'step' if high == 1 else 'steps'} each"
        steps = f"{high}{each}" if low == high else f"{low} to {high} steps"
        n, C = len(self), self.values.shape[1]
        sampling = "regular" if self.regular else "irregular"
        return f"{n} series, {C} {'channel' if C == 1 else 'channels'}, {steps}, {sampling}"


def offsets_of(lengths: Any) -> Array:
    """(n + 1,) int64: where each series begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def joined(parts: Sequence[Series]) -> Series:
    """Several Series as one.

    Raises
    ------
    DataError
        Where channels differ, or some have times and others have none.
    """
    kinds = {(part.values.shape[1], part.channels, part.times is not None) for part in parts}
    if len(kinds) > 1:
        raise DataError(
            "Series that are joined must have the same channels, and all of them times or none; got "
            + " and ".join(sorted(f"{C} {'with' if t else 'without'} times" for C, _, t in kinds))
            + ".",
            "Make them from one source, or give all of them times.",
        )
    (_, channels, timed) = kinds.pop()
    times = np.concatenate([part.times for part in parts if part.times is not None]) if timed else None
    lengths = np.concatenate([part.lengths for part in parts])
    return Series(np.concatenate([part.values for part in parts]), offsets_of(lengths), times, channels)


@dataclass(frozen=True)
class Names:
    """How messages call series and channels: by their ids and names where there are any, else by number."""

    ids: Sequence[Any] | None = None
    channels: Sequence[str] | None = None

    def series(self, i: int) -> str:
        return f"series {i}" if self.ids is None else f"series {shown([self.ids[i]])}"

    def channel(self, i: int, c: int) -> str:
        return f"{self.series(i)}, channel {c if self.channels is None else shown([self.channels[c]])}"


def checked(values: Array, lengths: Array, times: Array | None = None, names: Names | None = None) -> Series:
    """Raw numbers as a Series: times checked, missing values completed, the rest finite.

    Parameters
    ----------
    values : (T, C) float64
        NaN is a missing value.
    lengths : (n,) int64
    times : (T,) float64 or None
        None, or one step apart in every series: regular sampling.
    names : Names, optional
        For messages; those of channels are kept.

    Returns
    -------
    Series

    Raises
    ------
    DataError
        Naming the series and the channel: on no series, an empty one, times that do not increase, infinity,
        a channel without any value.

    Notes
    -----
    Without times a missing value lies on the straight line between its neighbours in the channel; before the
    first and after the last value it is that value. With times, steps at which all channels are missing are
    left out, for a gap is what times can say, and other missing values lie on the line in time.
    """
    names = names or Names()
    channels = None if names.channels is None else tuple(names.channels)
    if len(lengths) == 0 or not lengths.all():
        what = (
            f"{names.series(int(np.argmin(lengths)))} has no steps" if len(lengths) else "there is no series"
        )
        raise DataError(f"Every series must have at least one step; {what}.", "Leave out what is empty.")
    if times is not None:
        _check_times(times, lengths, names)
    series = Series(values, offsets_of(lengths), times, channels)
    _refuse(series, np.isinf(values), "finite; got infinity", names)
    missing = np.isnan(values)
    if missing.any():
        series = _completed(series, missing, names)
    d = series.intervals
    return series if d is None or (d != 1).any() else Series(series.values, series.offsets, None, channels)


def _refuse(series: Series, wrong: Array, must: str, names: Names) -> None:
    if wrong.any():
        row, c = (int(k) for k in np.argwhere(wrong)[0])
        i = int(np.searchsorted(series.offsets, row, side="right")) - 1
        raise DataError(
            f"{names.channel(i, c)}, step {row - series.offsets[i]}: must be {must}.",
            "Repair or leave out the series.",
        )


def _check_times(times: Array, lengths: Array, names: Names) -> None:
    series = Series(times[:, None], offsets_of(lengths))
    _refuse(series, ~np.isfinite(series.values), "at a finite time", Names(names.ids, ["time"]))
    d = np.diff(times)
    d[series.offsets[1:-1] - 1] = 1
    if (d <= 0).any():
        k = int(np.argmax(d <= 0))
        i = int(np.searchsorted(series.offsets, k, side="right")) - 1
        raise DataError(
            f"{names.series(i)}: times must increase strictly; {times[k + 1]:.17g} follows {times[k]:.17g}.",
            "Sort the steps by time, and leave all but one of the same time out.",
        )


def _completed(series: Series, missing: Array, names: Names) -> Series:
    """The series without missing values."""
    empty = np.logical_and.reduceat(missing, series.offsets[:-1])
    if empty.any():
        i, c = (int(k) for k in np.argwhere(empty)[0])
        raise DataError(
            f"{names.channel(i, c)}: must have at least one value; all are missing.",
            "Leave the series or the channel out.",
        )
    gone = missing.all(axis=1) & (series.times is not None)
    values, offsets = series.values[~gone], offsets_of(np.add.reduceat(~gone, series.offsets[:-1]))
    times = None if series.times is None else series.times[~gone]
    missing = missing[~gone]
    kept = Series(values, offsets, times, series.channels)
    incomplete = np.flatnonzero(np.logical_or.reduceat(missing.any(axis=1), offsets[:-1]))
    for start, end in zip(offsets[incomplete], offsets[incomplete + 1], strict=True):
        t = np.arange(end - start, dtype=float) if times is None else times[start:end]
        for column, gaps in zip(values[start:end].T, missing[start:end].T, strict=True):
            column[gaps] = np.interp(t[gaps], t[~gaps], column[~gaps])
    if gone.any():
        warn(f"Steps without any value were left out: {gone.sum()}, in {len(series)} series.")
    if missing.any():
        of = f"{len(incomplete)} of {len(kept)} series"
        warn(f"Missing values were interpolated linearly: {missing.sum()}, in {of}.")
    return kept


def shown(words: Sequence[Any] | Array, most: int = 6) -> str:
    """Words as a message shows them: each cut to 40 characters, at most so many."""
    texts = [repr(w.item() if isinstance(w, np.generic) else w) for w in words[:most]]
    cut = [text if len(text) <= 40 else f"{text[:39]}…" for text in texts]
    return ", ".join([*cut, "…"] if len(words) > most else cut)
