"""What the filters see of a series: its channels standardised, and how fast they change, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError

VIEWS = ("own", "own difference", "training", "training difference")  # of a channel; online the last two
SHORT = 0.1  # quantile of the intervals that is the unit of time of irregular sampling, …
MOST = 4  # … unless series had more than so many times their samples with it
LONGEST = 10**7  # steps of a series on the grid
SMALLEST = 1e-8  # standard deviation: what does not vary stays small


class Seen(NamedTuple):
    """What filters see of n series. z (T, channels) float32, offsets (n + 1,); series i is from offsets[i] to
    offsets[i + 1].
    """

    z: Array
    offsets: Array

    def series(self, i: int) -> Array:
        """(L, channels) of one series."""
        return self.z[self.offsets[i] : self.offsets[i + 1]]


class Standard(NamedTuple):
    """Mean and standard deviation of the channels over the training set, and the standard deviation of their
    standardised first differences. Each (C,).
    """

    mean: Array
    deviation: Array
    change: Array


def standard(values: Array, offsets: Array) -> Standard:
    """What a training set is standardised by. values (T, C), offsets (n + 1,)."""
    mean, deviation = values.mean(axis=0), values.std(axis=0) + SMALLEST
    changes = differences((values - mean) / deviation, offsets)
    return Standard(mean, deviation, changes.std(axis=0) + SMALLEST)


def channels(values: Array, offsets: Array, by: Standard, online: bool = False) -> Seen:
    """4 C channels: each one standardised by its own series, and its first differences likewise; then both by
    the training set. With ``online`` 2 C: by the training set alone, so that a step can be computed when it
    arrives.
    """
    z = (values - by.mean) / by.deviation
    parts = [z, differences(z, offsets) / by.change]
    if not online:
        own = _standardised(values, offsets)
        parts = [own, _standardised(differences(own, offsets), offsets, centre=False), *parts]
    return Seen(np.concatenate(parts, axis=1, dtype=np.float32), offsets)


def differences(z: Array, offsets: Array) -> Array:
    """z_k − z_{k−1}; 0 at the first step of a series."""
    changes = np.diff(z, axis=0, prepend=z[:1])
    changes[offsets[:-1]] = 0
    return changes


def unit_of_time(times: Array | None, offsets: Array) -> float:
    """The step of the grid on which filters read series that were sampled at these times (T,); 1 without
    times.

    The interval that a tenth of the intervals is shorter than, but long enough that series have at most four
    times as many steps as samples.
    """
    if times is None or len(times) == len(offsets) - 1:
        return 1.0
    intervals = np.delete(np.diff(times), offsets[1:-1] - 1)
    shortest = intervals.sum() / (MOST * len(intervals))
    return float(max(np.quantile(intervals, SHORT), shortest))


def on_grid(values: Array, offsets: Array, times: Array | None, unit: float) -> tuple[Array, Array]:
    """The straight lines between the samples at times, read every ``unit``: values (T', C), offsets (n + 1,).

    Raises
    ------
    DataError
        On a series of more than ten million steps.
    """
    if times is None:
        return values, offsets
    read = []
    for i, (start, end) in enumerate(pairwise(offsets)):
        t = times[start:end]
        steps = 1 + int((t[-1] - t[0]) / unit + 1e-6)
        if steps > LONGEST:
            raise DataError(
                f"Series {i} must last at most {LONGEST:,} times the unit of time, {unit:.6g}; it lasts "
                f"{t[-1] - t[0]:.6g}.",
                "Cut it where it pauses.",
            )
        grid = t[0] + unit * np.arange(steps)
        read.append(np.stack([np.interp(grid, t, column) for column in values[start:end].T], axis=1))
    return np.concatenate(read), np.concatenate([[0], np.cumsum([len(x) for x in read])])


def _standardised(z: Array, offsets: Array, centre: bool = True) -> Array:
    """Every series with mean 0 (or its own, without ``centre``) and standard deviation 1."""
    standardised = np.empty_like(z)
    for start, end in pairwise(offsets):  # one by one: no bit depends on the other series
        x = z[start:end]
        centred = x - x.mean(axis=0)
        deviation = np.sqrt(np.mean(centred**2, axis=0)) + SMALLEST
        standardised[start:end] = (centred if centre else x) / deviation
    return standardised
