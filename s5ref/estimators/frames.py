"""What a model trained by gradient sees of series: standardised channels and their changes, in frames of a
few steps; for training, cropped, stretched and cut at random.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.features.channels import Standard, channels
from s5ref.model.batch import Batch
from s5ref.series.series import Series, offsets_of

CROP = 0.3  # at most so much of a series is cropped away
CUT = 0.3  # of a series is set to 0, the mean


class Framed(NamedTuple):
    """n series in frames: z (F, 2 C · frame) float32, offsets (n + 1,), times (F,) of the frames' ends or
    None. targets: (n,) classes or (n, K) values; (F, K · frame) values of the steps if ``per_step``.
    """

    z: Array
    offsets: Array
    times: Array | None
    targets: Array | None = None
    per_step: bool = False

    def batch(
        self, chosen: Array, rng: np.random.Generator | None = None, frames: int | None = None
    ) -> Batch:
        """The series ``chosen`` (N,) as a batch of so many frames; None: of the longest of them. With ``rng``
        each is cropped, stretched to the length that it had, and cut.

        Notes
        -----
        A series is z(t), linear between its frames at t = 0 … l − 1. Cropped to the fraction r it is
        z(t₀ + r t), with t₀ uniform in [0, (1 − r)(l − 1)] and r uniform in [0.7, 1]. What is behind the end
        is masked. The batch has no lengths where all n series are equally long: layers without masks are
        fused.
        """
        starts, lengths = self.offsets[chosen, None], np.diff(self.offsets)[chosen, None]
        frame = np.arange(lengths.max() if frames is None else frames)
        at: Array = np.minimum(frame, lengths - 1)
        rate: Array | float = 1.0
        if rng is not None:
            rate = rng.uniform(1 - CROP, 1, lengths.shape)
            at = rng.uniform(0, (1 - rate) * (lengths - 1)) + rate * at
        low = at.astype(np.int64)
        rows, next_rows = starts + low, starts + np.minimum(low + 1, lengths - 1)
        part = (at - low).astype(np.float32)[..., None]
        z = self.z[rows] if rng is None else (1 - part) * self.z[rows] + part * self.z[next_rows]
        if rng is not None:
            since = frame - rng.uniform(0, (1 - CUT) * lengths)
            z[(since >= 0) & (since < CUT * lengths)] = 0
        intervals = None
        if self.times is not None:
            times = self.times[rows] + (at - low) * (self.times[next_rows] - self.times[rows])
            intervals = np.diff(times, axis=1, prepend=times[:, :1] - rate) / rate
            intervals = intervals.astype(np.float32)
        targets = self.targets
        if targets is not None:
            targets = targets[rows if self.per_step else chosen]
        unequal = np.ptp(np.diff(self.offsets)) > 0
        return Batch(z, targets, lengths[:, 0] if unequal else None, intervals)


def framed(series: Series, by: Standard, unit: float, frame: int) -> Framed:
    """Series standardised by the training set, with their first differences, in frames of so many steps. The
    last frame is filled up with the last step; the interval of a frame is the mean of those of its steps.
    """
    z = channels(series.values, series.offsets, by, online=True).z
    times = None if series.times is None else series.times / (unit * frame)
    rows, offsets = in_frames(series.offsets, frame)
    return Framed(z[rows].reshape(len(rows), -1), offsets, None if times is None else times[rows[:, -1]])


def in_frames(offsets: Array, frame: int) -> tuple[Array, Array]:
    """(F, frame) which steps are in each frame, the last step of a series as often as it takes; and the
    offsets (n + 1,) of the frames.
    """
    lengths = np.diff(offsets)
    frames = -(-lengths // frame)
    new = offsets_of(frames)
    first = np.arange(new[-1]) - np.repeat(new[:-1], frames)
    within = np.minimum(first[:, None] * frame + np.arange(frame), np.repeat(lengths, frames)[:, None] - 1)
    return np.repeat(offsets[:-1], frames)[:, None] + within, new
