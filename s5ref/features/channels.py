"""What the filters see of a series: its channels standardised, and how fast they change, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError

ORDERS = ("", " difference", " second difference")  # how often a view of a channel is differenced
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
    """What C channels are standardised by: mean and standard deviation over the training set, (C,); and the
    standard deviations of the differences of the standardised channels, (orders, C), of order 1 first.
    """

    mean: Array
    deviation: Array
    changes: Array


def standard(values: Array, offsets: Array, orders: int = 1) -> Standard:
    """What a training set is standardised by. values (T, C), offsets (n + 1,)."""
    mean, deviation = values.mean(axis=0), values.std(axis=0) + SMALLEST
    z = (values - mean) / deviation
    changes = [difference(z, offsets, k).std(axis=0) + SMALLEST for k in range(1, orders + 1)]
    return Standard(mean, deviation, np.array(changes))


def channels(values: Array, offsets: Array, by: Standard, online: bool = False) -> Seen:
    """2 C (1 + orders) channels: each one standardised by its own series, and its differences likewise; then
    all of them by the training set. With ``online`` half as many: by the training set alone, so that a step
    can be computed when it arrives.
    """
    z = (values - by.mean) / by.deviation
    orders = range(1, len(by.changes) + 1)
    parts = [z, *(difference(z, offsets, k) / by.changes[k - 1] for k in orders)]
    if not online:
        own = _standardised(values, offsets)
        rates = (_standardised(difference(own, offsets, k), offsets, centre=False) for k in orders)
        parts = [own, *rates, *parts]
    return Seen(np.concatenate(parts, axis=1, dtype=np.float32), offsets)


def views(by: Standard, online: bool = False) -> list[str]:
    """What `channels` shows of a channel, in its order."""
    sources = ("training",) if online else ("own", "training")
    return [source + order for source in sources for order in ORDERS[: 1 + len(by.changes)]]


def difference(z: Array, offsets: Array, order: int = 1) -> Array:
    """z_k − z_{k−1} of series, and so ``order`` times; 0 at the first ``order`` steps, which have none."""
    changes = np.diff(z, order, axis=0, prepend=np.repeat(z[:1], order, axis=0))
    changes[np.minimum(offsets[:-1, None] + np.arange(order), offsets[1:, None] - 1)] = 0
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
