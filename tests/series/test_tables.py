"""Frames: wide and long, channels by their names, ids, targets, and what is refused by row and column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from s5ref import ConfigError, DataError, S5Error
from s5ref.series import Table, as_series, from_frame

WIDE = pd.DataFrame({"hum_1": [5.0, 6], "temp_10": [3.0, np.nan], "temp_1": [1.0, 2], "hum_10": [7.0, np.nan],
                     "label": ["dry", "wet"]})  # fmt: skip
LONG = pd.DataFrame({"who": [7, 3, 7, 3, 7], "at": [2.0, 1.5, 0.5, 0.0, 1.0], "x": [1, 2, 3, 4, 5],
                     "y": [1.0, 1, 1, 1, 0], "fat": [0.5, 1.5, 0.5, 1.5, 0.5]})  # fmt: skip


def same(a: Table, b: Table) -> None:
    np.testing.assert_array_equal(a.series.values, b.series.values)
    np.testing.assert_array_equal(a.series.offsets, b.series.offsets)
    assert repr(a) == repr(b)
    assert a.ids == b.ids


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_wide(convert: Callable[[Any], Any]) -> None:
    table = from_frame(convert(WIDE), target="label")
    assert (
        repr(table) == "2 series, 2 channels, 1 to 2 steps, regular; target 'label': 2 classes (dry 1, wet 1)"
    )
    assert table.series.channels == ("hum", "temp")
    np.testing.assert_array_equal(
        table.series.values, [[5, 1], [7, 3], [6, 2]]
    )  # steps by number, not by place
    assert table.ids is None


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_long(convert: Callable[[Any], Any]) -> None:
    table = from_frame(convert(LONG), id="who", time="at", target="fat")
    assert repr(table) == "2 series, 2 channels, 2 to 3 steps, irregular; target 'fat': real, 0.5 to 1.5"
    assert table.ids == (7, 3)  # in the order of the rows
    assert table.series.channels == ("x", "y")
    np.testing.assert_array_equal(table.series.values, [[3, 1], [5, 0], [1, 1], [4, 1], [2, 1]])
    np.testing.assert_array_equal(table.series.times, [0.5, 1, 2, 0, 1.5])
    assert table.y is not None
    assert table.y.tolist() == [0.5, 1.5]


def test_long_without_times_is_in_the_order_of_its_rows() -> None:
    table = from_frame(LONG.drop(columns="at"), id="who", target="fat")
    np.testing.assert_array_equal(table.series.values[:, 0], [1, 3, 5, 2, 4])
    assert table.series.times is None


def test_times_without_an_id_are_one_series() -> None:
    assert repr(from_frame(LONG[["at", "x"]], time="at")) == "1 series, 1 channel, 5 steps each, regular"


def test_an_id_that_names_one_row_is_the_name_of_a_series() -> None:
    table = from_frame(WIDE.assign(name=["a", "b"]), id="name", target="label")
    same(table, Table(table.series, table.target, ("a", "b")))
    assert table.series.lengths.tolist() == [2, 1]


def test_columns_by_position() -> None:
    same(from_frame(WIDE, target=-1), from_frame(WIDE, target="label"))
    same(from_frame(LONG, id=0, time="1", target=4), from_frame(LONG, id="who", time="at", target="fat"))


@pytest.mark.parametrize("zone", [None, "Europe/Zurich"])
def test_moments_are_seconds_since_the_first(zone: str | None) -> None:
    at = pd.to_datetime(
        ["2026-01-01 00:00:00.0", "2026-01-01 00:00:01.5", "2026-01-02 00:00:00.0"]
    ).tz_localize(zone)
    for column in (at, [str(t) for t in at], at.to_pydatetime(), at - at[0]):
        series = from_frame(pd.DataFrame({"at": column, "x": [1.0, 2, 3]}), time="at").series
        np.testing.assert_array_equal(series.times, [0, 1.5, 86400])


def test_names_that_are_numbers_are_no_channels() -> None:
    for names in (
        ["850.0", "850.5", "851.0", "851.5"],
        [0, 1, 2, 3],
        ["a", "b1", "b2", "c"],
        ["x1", "x2", "x3", "x4"],
    ):
        table = from_frame(pd.DataFrame(np.arange(8.0).reshape(2, 4), columns=names))
        np.testing.assert_array_equal(table.series.values, as_series(np.arange(8.0).reshape(2, 4)).values)
        assert table.series.channels is None


def test_training_needs_a_target_two_series_and_two_classes() -> None:
    series, y = from_frame(WIDE, target="label").training()
    assert len(series) == len(y) == 2
    for frame, target, words in [
        (WIDE.drop(columns="label"), None, "needs a target"),
        (WIDE[:1], "label", "at least 2 series; got 1"),
        (WIDE.assign(label="dry"), "label", "at least 2 classes; every label is 'dry'"),
    ]:
        with pytest.raises(DataError, match=words):
            from_frame(frame, target=target).training()


REFUSED: dict[str, tuple[Callable[[], Any], type[S5Error], list[str]]] = {
    "a column that is not there": (
        lambda: from_frame(WIDE, target="lable"), ConfigError, ["target", "'lable'", "Did you mean label?"]),
    "a position that is not there": (lambda: from_frame(WIDE, target=5), ConfigError, ["5", "0 to 4"]),
    "one column for two": (lambda: from_frame(LONG, id="who", time=0), ConfigError, ["time", "'who'"]),
    "columns of one name": (
        lambda: from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"])), DataError, ["'a' twice"]),
    "no columns": (lambda: from_frame(pd.DataFrame()), DataError, ["columns"]),
    "no rows": (lambda: from_frame(WIDE[:0], target="label"), DataError, ["rows"]),
    "no numbers": (lambda: from_frame(WIDE[["label"]], target="label"), DataError, ["columns of numbers"]),
    "text": (lambda: from_frame(WIDE), DataError, ["column 'label'", "row 0", "'dry'"]),
    "a target that changes": (
        lambda: from_frame(LONG, id="who", time="at", target="y"), DataError, ["series 7", "y", "1.0, 0.0"]),
    "a time twice": (
        lambda: from_frame(LONG.assign(at=[1, 2, 1, 3, 4]), id="who", time="at"),
        DataError, ["series 7", "1 follows 1"]),
    "a missing id": (
        lambda: from_frame(LONG.assign(who=[7, 3, None, 3, 7]), id="who"), DataError, ["row 2", "id 'who'"]),
    "a missing target": (
        lambda: from_frame(WIDE.assign(label=["a", None]), target="label"),
        DataError, ["row 1", "target 'label'"]),
    "a missing time": (
        lambda: from_frame(LONG.assign(at=[0, 1, 2, 3, np.nan]), id="who", time="at"),
        DataError, ["row 4", "time 'at'"]),
    "times of two kinds": (
        lambda: from_frame(pd.DataFrame({"at": ["2026-01-01", "5"], "x": [1, 2]}), time="at"),
        DataError, ["column 'at'"]),
    "times with and without a zone": (
        lambda: from_frame(pd.DataFrame({"at": ["2026-01-01", "2026-01-02T00:00Z"], "x": [1, 2]}), time="at"),
        DataError, ["column 'at'", "time zone"]),
    "channels of unequal steps": (
        lambda: from_frame(WIDE.drop(columns="hum_10"), target="label"),
        DataError, ["'hum' has 1", "'temp' 2"]),
    "a step twice": (
        lambda: from_frame(pd.DataFrame([[1, 2, 3]], columns=["a_1", "a_01", "b_1"])),
        DataError, ["step 1 of 'a'"]),
    "a channel without values": (
        lambda: from_frame(WIDE.assign(hum_1=[1, np.nan]), target="label"),
        DataError, ["series 1, channel 'hum'"]),
    "a row without values": (
        lambda: from_frame(pd.DataFrame({"a": [1, np.nan]})), DataError, ["series 1, channel 0", "missing"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, words = REFUSED[name]
    with pytest.raises(kind) as error:
        call()
    assert error.value.remedy
    assert [word for word in words if word not in str(error.value)] == []
