"""What the filters see of a series: its channels standardised, and how fast they change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array

MOST_PARTS = 64  # of an interval
VIEWS = ("own", "own difference", "training", "training difference")  # of a channel; online the last two
SMALLEST = 1e-8  # standard deviation: what does not vary stays small


class Seen(NamedTuple):
    """What filters see of n series. z (T, channels) float32, offsets (n + 1,), intervals (T,) in units, or
    None where all are 1; series i is from offsets[i] to offsets[i + 1].
    """

    z: Array
    offsets: Array
    intervals: Array | None

    def series(self, i: int) -> tuple[Array, Array | None]:
        """(L, channels) and (L,) of one series."""
        one = slice(self.offsets[i], self.offsets[i + 1])
        return self.z[one], None if self.intervals is None else self.intervals[one]


class Standard(NamedTuple):
    """Mean and standard deviation of the channels over the training set, and the standard deviation of their
    standardised first differences. Each (C,).
    """

    mean: Array
    deviation: Array
    change: Array


def standard(values: Array, offsets: Array, intervals: Array | None) -> Standard:
    """What a training set is standardised by. values (T, C), offsets (n + 1,), intervals (T,) or None."""
    mean, deviation = values.mean(axis=0), values.std(axis=0) + SMALLEST
    changes = differences((values - mean) / deviation, offsets, intervals)
    return Standard(mean, deviation, changes.std(axis=0) + SMALLEST)


def channels(
    values: Array, offsets: Array, intervals: Array | None, by: Standard, online: bool = False
) -> Seen:
    """4 C channels: each one standardised by its own series, and its first differences likewise; then both by
    the training set. With ``online`` 2 C: by the training set alone, so that a step can be computed when it
    arrives.

    An interval of more than 1½ units is cut into equal parts of about one, up to 64, between which z is
    linear.
    """
    z = (values - by.mean) / by.deviation
    parts = [z, differences(z, offsets, intervals) / by.change]
    if not online:
        own = _standardised(values, offsets)
        parts = [own, _standardised(differences(own, offsets, intervals), offsets, centre=False), *parts]
    return _refined(Seen(np.concatenate(parts, axis=1, dtype=np.float32), offsets, intervals))


def _refined(seen: Seen) -> Seen:
    """With steps between the samples of a long interval."""
    z, offsets, intervals = seen
    if intervals is None:
        return seen
    parts = np.clip(np.rint(intervals), 1, MOST_PARTS).astype(int)
    ends = np.concatenate([[0], np.cumsum(parts)])
    at = np.repeat(np.arange(len(z)), parts)
    fraction = ((np.arange(ends[-1]) - ends[at] + 1) / parts[at]).astype(np.float32)[:, None]
    refined = z[np.maximum(at - 1, 0)] * (1 - fraction) + z[at] * fraction
    return Seen(refined, ends[offsets], (intervals / parts)[at])


def differences(z: Array, offsets: Array, intervals: Array | None) -> Array:
    """z_k − z_{k−1}, per unit of time; 0 at the first step of a series."""
    changes = np.diff(z, axis=0, prepend=z[:1])
    changes[offsets[:-1]] = 0
    return changes if intervals is None else changes / intervals[:, None]


def _standardised(z: Array, offsets: Array, centre: bool = True) -> Array:
    """Every series with mean 0 (or its own, without ``centre``) and standard deviation 1."""
    lengths = np.diff(offsets)
    mean = np.add.reduceat(z, offsets[:-1], axis=0) / lengths[:, None]
    centred = z - np.repeat(mean, lengths, axis=0)
    deviation = np.sqrt(np.add.reduceat(centred**2, offsets[:-1], axis=0) / lengths[:, None]) + SMALLEST
    return (centred if centre else z) / np.repeat(deviation, lengths, axis=0)
