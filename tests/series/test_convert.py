"""Arrays, lists and frames give the same Series; what does not fit is refused with a remedy that works."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from s5ref import ConfigError, DataError, S5Error, ShapeError
from s5ref.series import Series, as_series

X = np.random.default_rng(0).standard_normal((4, 2, 5))


def same(got: Series, want: Series) -> None:
    np.testing.assert_array_equal(got.values, want.values)
    np.testing.assert_array_equal(got.offsets, want.offsets)
    assert (got.times is None) == (want.times is None)
    if got.times is not None and want.times is not None:
        np.testing.assert_array_equal(got.times, want.times)


@pytest.mark.parametrize(
    ("x", "channels"),
    [
        (X, "auto"),
        (X, "first"),
        (X.tolist(), "auto"),
        (list(X), "auto"),
        (tuple(X), "auto"),
        (X.astype(object), "auto"),
        (np.asfortranarray(X), "auto"),
        (X.transpose(0, 2, 1), "last"),
        ([x.T for x in X], "last"),
        ([as_series(x[None]) for x in X], "auto"),
        (as_series(X), "auto"),
    ],
)
def test_forms_of_the_same_series(x: Any, channels: Any) -> None:
    same(as_series(x, channels=channels), as_series(X))


def test_one_channel() -> None:
    x = X[:, 0]
    frame = pd.DataFrame(x)
    for form in (
        x.tolist(),
        list(x),
        X[:, :1],
        frame,
        pl.from_pandas(frame.rename(columns=str)),
        frame.astype("Float64"),
    ):
        same(as_series(form), as_series(x))
    ragged = np.empty(2, object)
    ragged[:] = [x[0], x[1, :3]]
    same(as_series(ragged), as_series([x[0].tolist(), x[1, :3].tolist()]))


def test_integers_and_booleans_are_real_numbers() -> None:
    same(as_series(np.array([[1, 0], [0, 1]])), as_series([[True, False], [False, True]]))
    same(as_series(np.array([[1, 0]], np.uint8)), as_series([[Decimal(1), 0.0]]))


def test_missing_values_of_every_kind() -> None:
    forms: list[Any] = [
        [[1, np.nan, 3]], [[1, None, 3]], np.ma.MaskedArray([[1, 7, 3]], mask=[[False, True, False]]),
        pd.DataFrame({"a": [1], "b": [pd.NA], "c": [3]}), pl.DataFrame({"a": [1], "b": [None], "c": [3]}),
    ]  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        for form in forms:
            assert as_series(form).values.ravel().tolist() == [1, 2, 3]


def test_times_in_every_form() -> None:
    t = np.cumsum(np.arange(1, 6)) / 2.0
    want = as_series(X, times=t)
    same(as_series(X, times=np.tile(t, (4, 1))), want)
    same(as_series(X, times=[t.tolist()] * 4), want)
    same(as_series(as_series(X), times=t), want)
    same(as_series([as_series(X, times=t)[:2], as_series(X, times=t)[2:]]), want)
    dates = np.datetime64("2026-01-01") + (t * 1000).astype("timedelta64[ms]")
    same(as_series(X, times=dates), as_series(X, times=t - t[0]))
    ragged = as_series([x[:, : 2 + i] for i, x in enumerate(X)], times=[t[: 2 + i] for i in range(4)])
    same(ragged[3], want[3])


def test_tokens_keep_their_alphabet() -> None:
    fitted = as_series(["ACGT", "CAT"], tokens=True)
    assert fitted.channels == ("A", "C", "G", "T")
    assert fitted.lengths.tolist() == [4, 3]
    np.testing.assert_array_equal(fitted[1].values, np.eye(4)[[1, 0, 3]])
    later = as_series([list("CAT")], tokens=fitted.channels)
    same(later, fitted[1])


MIDDLE: Any = "middle"
REFUSED: dict[str, tuple[Callable[[], Any], type[S5Error], list[str]]] = {
    "one axis": (lambda: as_series(X[0, 0]), ShapeError, ["(5,)", "X[None]"]),
    "four axes": (lambda: as_series(X[None]), ShapeError, ["(1, 4, 2, 5)"]),
    "a word": (lambda: as_series("ACGT"), ShapeError, ["str"]),
    "nothing": (lambda: as_series(None), ShapeError, ["NoneType"]),
    "an empty list": (lambda: as_series([]), ShapeError, ["at least one series"]),
    "no steps": (lambda: as_series(X[..., :0]), ShapeError, ["(4, 2, 0)"]),
    "an empty series": (lambda: as_series([[1.0], []]), DataError, ["series 1", "at least one step"]),
    "channels last": (
        lambda: as_series(X.transpose(0, 2, 1)),
        ShapeError, ["5 channels of 2 steps", "channels='last'"],
    ),
    "channels last in a list": (
        lambda: as_series([np.ones((5, 2)), np.ones((7, 2))]),
        ShapeError, ["got 5 in series 0, 7 in 1", "channels='last'"],
    ),
    "other channels": (
        lambda: as_series([np.ones((2, 5)), np.ones((3, 4))]),
        ShapeError, ["2 in series 0", "(L, C)"],
    ),
    "an unknown word for channels": (
        lambda: as_series(X, channels=MIDDLE),
        ConfigError, ["channels", "middle"],
    ),
    "text": (lambda: as_series([["1", "2"]]), DataError, ["series 0, step 0", "'1'", "tokens=True"]),
    "an object": (lambda: as_series([[[1.0, 2], [{}, 1]]]), DataError, ["series 0, channel 1, step 0", "{}"]),
    "complex numbers": (lambda: as_series(X[:, 0] * 1j), DataError, ["series 0, step 0", "j"]),
    "dates": (lambda: as_series(np.array([["2026-01-01"]], "M8[D]")), DataError, ["2026", "times="]),
    "dates in a frame": (
        lambda: as_series(pd.DataFrame({"a": pd.to_datetime(["2026-01-01"]), "b": [1.0]})),
        DataError, ["column 'a'", "2026"],
    ),
    "infinity": (lambda: as_series([[0.0, np.inf]]), DataError, ["series 0, channel 0, step 1", "infinity"]),
    "a channel that is missing": (
        lambda: as_series([[[0.0, 1], [np.nan] * 2]]),
        DataError, ["series 0, channel 1"],
    ),
    "times that fall": (lambda: as_series(X, times=[0, 1, 2, 1, 3]), DataError, ["series 0", "1 follows 2"]),
    "too few times": (lambda: as_series(X, times=[0, 1, 2]), ShapeError, ["(3,)", "(n, L)"]),
    "times of a list": (
        lambda: as_series([[1.0, 2], [1.0]], times=[[0, 1], [0, 1]]),
        ShapeError, ["series 1 has 1 steps and 2 times"],
    ),
    "times that are words": (
        lambda: as_series([[1.0, 2]], times=["now", "then"]),
        DataError, ["times", "now"],
    ),
    "joined with and without times": (
        lambda: as_series([as_series([[1.0, 2]]), as_series([[1.0, 2]], times=[0, 3])]), DataError, ["times"],
    ),
    "real tokens": (lambda: as_series([[1.5, 2.0]], tokens=True), DataError, ["1.5", "tokens"]),
    "one text for many": (lambda: as_series([1, 2], tokens=True), DataError, ["series 0", "ACGT"]),
    "an empty text": (lambda: as_series(["A", ""], tokens=True), DataError, ["series 1 has no steps"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, words = REFUSED[name]
    with pytest.raises(kind) as error:
        call()
    assert error.value.remedy
    assert [word for word in words if word not in str(error.value)] == []
