"""Series as a model trained by gradient sees them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
from s5ref.arrays import Array
from s5ref.estimators.frames import CROP, CUT, Framed, framed
from s5ref.features.channels import Standard
from s5ref.series import Series

AS_IT_IS = Standard(np.zeros(1), np.ones(1), np.ones((1, 1)))


def lines(*lengths: int, frame: int = 1, times: Array | None = None) -> Framed:
    """Series that rise by one a step, from 1."""
    values = np.concatenate([1.0 + np.arange(length) for length in lengths])[:, None]
    return framed(Series(values, np.cumsum([0, *lengths]), times), AS_IT_IS, 1.0, frame)


def test_frames_and_lengths() -> None:
    batch = lines(5, 8, frame=3).batch(np.array([0, 1]))
    assert batch.inputs.shape == (2, 3, 3 * 2)
    np.testing.assert_array_equal(batch.lengths, [2, 3])
    steps = batch.inputs.reshape(2, 9, 2)
    np.testing.assert_array_equal(steps[0, :6, 0], [1, 2, 3, 4, 5, 5])
    np.testing.assert_array_equal(steps[1, :, 1], [0, 1, 1, 1, 1, 1, 1, 1, 1])
    equal = lines(7, 8, frame=3).batch(np.array([0, 1]))
    assert equal.lengths is None  # three frames each: nothing is masked


def test_the_interval_of_a_frame_is_the_mean_of_its_steps() -> None:
    times = np.array([0.0, 1, 2, 4, 8, 9])
    batch = lines(6, frame=2, times=times).batch(np.array([0]))
    np.testing.assert_array_equal(batch.intervals, [[(1 + 1) / 2, (1 + 2) / 2, (4 + 1) / 2]])


def test_cropped_stretched_and_cut() -> None:
    """What is not cut is a line from a point in the first 30 % to one in the last, at a lower rate."""
    data, n = lines(101, times=np.arange(101.0) * 2), 200
    batch = data.batch(np.zeros(n, int), np.random.default_rng(0))
    for steps, intervals in zip(batch.inputs[..., 0], np.asarray(batch.intervals), strict=True):
        kept = np.flatnonzero(steps)
        assert 101 - len(kept) in (int(CUT * 101), int(CUT * 101) + 1)
        rate, first = np.polyfit(kept, steps[kept], 1)
        assert 1 - CROP - 1e-4 <= rate <= 1
        assert 1 - 1e-3 < first < 101 + 1e-3 - 100 * rate
        np.testing.assert_allclose(intervals[1:], 2, rtol=1e-4)
