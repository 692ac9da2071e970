"""From time stamps to intervals: what they are, what is refused, and whether the remedies work."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import ConfigError, DataError, NumericalError, ShapeError, intervals_from_times


def test_differences_in_units_and_one_before_the_first() -> None:
    times = np.array([[0, 20, 20, 45], [7, 8, 8, 9]])
    np.testing.assert_array_equal(intervals_from_times(times, unit=10)[0], [1, 2, 0, 2.5])
    np.testing.assert_array_equal(intervals_from_times(times[1]), [1, 1, 0, 1])


def test_padding_may_hold_anything() -> None:
    times = np.array([[1.0, 3.0, 0.0, np.nan], [1.0, 2.0, 3.0, 5.0]])
    got = intervals_from_times(times, lengths=np.array([2, 4]))
    np.testing.assert_array_equal(got, [[1, 2, 1, 1], [1, 1, 1, 2]])


def test_what_does_not_ascend_is_refused_and_the_remedy_works() -> None:
    times = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    with pytest.raises(DataError, match=r"ascend; that of sample 2 .* sequence 1.*Sort each sequence"):
        intervals_from_times(times)
    assert (intervals_from_times(np.sort(times)) == 1).all()
    with pytest.raises(DataError, match="pass lengths"):
        intervals_from_times([[1.0, 2.0, 0.0]])
    assert (intervals_from_times([[1.0, 2.0, 0.0]], lengths=np.array([2])) == 1).all()


def test_other_refusals() -> None:
    with pytest.raises(NumericalError, match="times"):
        intervals_from_times([0.0, np.nan])
    with pytest.raises(ConfigError, match="unit must be positive"):
        intervals_from_times([0.0, 1.0], unit=0)
    with pytest.raises(ShapeError, match="lengths"):
        intervals_from_times([[0.0, 1.0]], lengths=np.array([2, 2]))
    with pytest.raises(ShapeError, match="times"):
        intervals_from_times([])
