"""What a model trained by gradient sees of series: standardised channels and their changes, in frames of a
few steps; for training, cropped, stretched and cut at random.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.features.channels import Standard, differences
from s5ref.model.batch import Batch
from s5ref.series.series import Series

CROP = 0.3  # at most so much of a series is cropped away
CUT = 0.3  # of a series is set to 0, the mean


class Framed(NamedTuple):
    """n series: z (T, 2 C) float32, offsets (n + 1,), times (T,) in units or None. ``frame`` steps are
    one step of the model. targets: (n,) classes or (n, K) values; (T, K) values of the steps if ``per_step``.
    """

    z: Array
    offsets: Array
    times: Array | None
    frame: int
    targets: Array | None = None
    per_step: bool = False

    @property
    def longest(self) -> int:
        """Steps of the longest series."""
        return int(np.diff(self.offsets).max())

    def batch(self, chosen: Array, steps: int, rng: np.random.Generator | None = None) -> Batch:
        """The series ``chosen`` (N,) as a batch of so many steps, or a few more to fill the last frame. With
        ``rng`` each is cropped, stretched to the length that it had, and cut.

        Notes
        -----
        A series is z(t), linear between its samples at t = 0 … l − 1. Cropped to the fraction r it is
        z(t₀ + r t), with t₀ uniform in [0, (1 − r)(l − 1)] and r uniform in [0.7, 1]. Behind the end
        its last value is repeated: it fills the last frame, and further frames are masked.
        """
        starts, lengths = self.offsets[chosen, None], np.diff(self.offsets)[chosen, None]
        frames = -(-steps // self.frame)
        step = np.arange(frames * self.frame)
        at: Array = np.minimum(step, lengths - 1)
        rate: Array | float = 1.0
        if rng is not None:
            rate = rng.uniform(1 - CROP, 1, at[:, :1].shape)
            at = rng.uniform(0, (1 - rate) * (lengths - 1)) + rate * at
        z = self._between(self.z, starts, lengths, at)
        if rng is not None:
            since = step - rng.uniform(0, (1 - CUT) * lengths)
            z[(since >= 0) & (since < CUT * lengths)] = 0
        intervals = None
        if self.times is not None:
            elapsed = np.diff(self._between(self.times[:, None], starts, lengths, at)[..., 0], axis=1) / rate
            elapsed = np.concatenate([np.ones_like(elapsed, shape=(len(z), 1)), elapsed], axis=1)
            intervals = elapsed.reshape(len(z), frames, -1).mean(axis=2).astype(np.float32)
        targets = self.targets
        if targets is not None:
            targets = targets[starts + at].reshape(len(z), frames, -1) if self.per_step else targets[chosen]
        shape = len(z), frames, self.frame * z.shape[2]
        return Batch(z.reshape(shape), targets, -(-lengths[:, 0] // self.frame), intervals)

    @staticmethod
    def _between(x: Array, starts: Array, lengths: Array, at: Array) -> Array:
        """(N, steps, C): x at the fractional steps ``at`` of each series."""
        if at.dtype.kind == "i":
            return np.asarray(x[starts + at])
        low = at.astype(np.int64)
        part = (at - low)[..., None].astype(x.dtype)
        return np.asarray((1 - part) * x[starts + low] + part * x[starts + np.minimum(low + 1, lengths - 1)])


def framed(series: Series, by: Standard, unit: float, frame: int) -> Framed:
    """Series standardised by the training set, with their first differences; times in units."""
    z = (series.values - by.mean) / by.deviation
    changes = differences(z, series.offsets) / by.change
    times = None
    if series.times is not None:
        intervals = np.diff(series.times, prepend=0.0) / unit
        intervals[series.offsets[:-1]] = 1
        times = np.cumsum(intervals)
    return Framed(np.concatenate([z, changes], axis=1, dtype=np.float32), series.offsets, times, frame)
