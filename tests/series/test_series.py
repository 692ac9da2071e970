"""The value itself: selection, padding, words; and what raw numbers must be."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from s5ref import DataError
from s5ref.series import Series, SeriesWarning, as_series
from s5ref.series.series import Names, checked

RAGGED = [np.arange(6.0).reshape(2, 3), -np.arange(10.0).reshape(2, 5), np.ones((2, 1))]


def ragged(times: bool = False) -> Series:
    return as_series(RAGGED, times=[np.arange(x.shape[1]) ** 2 for x in RAGGED] if times else None)


def test_series_lie_one_behind_the_other_time_major() -> None:
    series = ragged()
    assert len(series) == 3
    assert series.lengths.tolist() == [3, 5, 1]
    for i, x in enumerate(RAGGED):
        np.testing.assert_array_equal(series.values[series.offsets[i] : series.offsets[i + 1]], x.T)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize(
    "key", [1, -1, slice(1, None), [2, 0, 2], np.array([True, False, True]), slice(0, 0)]
)
def test_selection_is_that_of_a_list(key: Any, times: bool) -> None:
    series = ragged(times)
    want = np.atleast_1d(np.arange(3)[key])
    got = series[key]
    assert got.lengths.tolist() == [series.lengths[i] for i in want]
    for one, i in zip(got, want, strict=True):
        np.testing.assert_array_equal(one.values, RAGGED[i].T)
        if times:
            np.testing.assert_array_equal(one.times, np.arange(len(one.values)) ** 2)
    with pytest.raises(IndexError):
        series[3]


def test_padded() -> None:
    values, lengths = ragged().padded(np.float32)
    assert values.dtype == np.float32
    assert values.shape == (3, 5, 2)
    assert lengths.tolist() == [3, 5, 1]
    np.testing.assert_array_equal(values[0], np.vstack([RAGGED[0].T, np.zeros((2, 2))]))


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (as_series(np.zeros((120, 3, 80))), "120 series, 3 channels, 80 steps each, regular"),
        (ragged(), "3 series, 2 channels, 1 to 5 steps, regular"),
        (ragged(True), "3 series, 2 channels, 1 to 5 steps, irregular"),
        (as_series([[1.0, 2]], times=[0.0, 0.1]), "1 series, 1 channel, 2 steps each, regular"),
        (as_series([[1.0]]), "1 series, 1 channel, 1 step each, regular"),
        (ragged()[:0], "0 series, 2 channels, 0 steps each, regular"),
    ],
)
def test_repr_is_a_sentence(series: Series, words: str) -> None:
    assert repr(series) == words


def test_times_one_step_apart_are_regular_sampling() -> None:
    assert as_series(np.zeros((2, 4)), times=[[0, 1, 2, 3], [7, 8, 9, 10]]).times is None
    assert as_series(np.zeros((2, 4)), times=[[0, 1, 2, 3], [7, 8, 9, 11]]).times is not None
    kept = as_series(np.zeros((1, 3)), times=[0.0, 0.1, 0.2])
    assert kept.times is not None
    assert kept.regular


def test_missing_values_without_times_lie_on_the_line_of_their_channel() -> None:
    nan = np.nan
    x = np.array([[[nan, 1, nan, nan, 4, nan], [0, 0, 0, 0, 0, 0.0]]])
    with pytest.warns(SeriesWarning, match="4, in 1 of 1 series") as told:
        series = as_series(x)
    assert len(told) == 1
    assert told[0].filename == __file__
    np.testing.assert_array_equal(series.values[:, 0], [1, 1, 2, 3, 4, 4])
    assert np.isnan(x).sum() == 4  # the caller's array stays as it is


def test_missing_values_with_times() -> None:
    nan = np.nan
    x = np.array([[[0, nan, nan, 6], [1, nan, 1, 1]]])
    with pytest.warns(SeriesWarning) as told:
        series = as_series(x, times=[0.0, 1, 2, 3])
    assert [str(w.message)[:12] for w in told] == ["Steps withou", "Missing valu"]
    np.testing.assert_array_equal(series.times, [0, 2, 3])
    np.testing.assert_array_equal(series.values, [[0, 1], [4, 1], [6, 1]])


def test_complete_values_are_taken_without_a_word() -> None:
    with warnings.catch_warnings(action="error"):
        ragged(True)


REFUSED = {
    "no series": ([], [], None, "there is no series"),
    "an empty series": ([0.0], [1, 0], None, "series b has no steps"),
    "infinity": ([0, 1, -np.inf], [1, 2], None, "series 'b', channel 'x', step 1: must be finite"),
    "a channel without values": ([0, np.nan, np.nan], [1, 2], None, "series 'b', channel 'x': must have"),
    "equal times": ([0, 1, 2], [1, 2], [5, 1, 1], "series 'b': times must increase strictly; 1 follows 1"),
    "falling times": ([0, 1, 2], [3], [0, 2, 1], "1 follows 2"),
    "NaN in times": ([0, 1, 2], [3], [0, np.nan, 1], "series 'a', channel 'time', step 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    values, lengths, times, words = REFUSED[name]
    with pytest.raises(DataError, match=words.replace("series b", "series 'b'")) as error:
        checked(
            np.array(values, float)[:, None],
            np.array(lengths, int),
            None if times is None else np.array(times, float),
            Names("ab", ["x"]),
        )
    assert error.value.remedy
