"""Classes or real numbers: one place decides, says so, and can be overruled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import ConfigError, DataError
from s5ref.series import as_target


@pytest.mark.parametrize(
    ("column", "task", "words"),
    [
        (["Gun", "Point", "Gun"], "classes", "target 'y': 2 classes (Gun 2, Point 1)"),
        ([True, False, True], "classes", "target 'y': 2 classes (False 1, True 2)"),
        (np.array([True, True]), "classes", "target 'y': 1 class (True 2)"),
        ([1, 2, 1], "classes", "target 'y': 2 classes (1 2, 2 1)"),
        (["1", "2", "1", "2"], "classes", "target 'y': 2 classes (1 2, 2 2)"),
        ([1.0, 2.0, 1.0], "classes", "target 'y': 2 classes (1 2, 2 1)"),
        ([0.9, 49.1], "real", "target 'y': real, 0.9 to 49.1"),
        (["0.5", "2"], "real", "target 'y': real, 0.5 to 2"),
        ([3, 1, 2], "real", "target 'y': real, 1 to 3; whole numbers, taken as real"),
        (list(range(11)) * 2, "classes", "target 'y': 11 classes (0 2, 1 2, 2 2, 3 2, 4 2, 5 2, …); whole "
                                         "numbers, taken as classes"),
    ],
)  # fmt: skip
def test_auto(column: Any, task: str, words: str) -> None:
    target = as_target(column)
    assert target.task == task
    assert str(target) == words
    assert target.y.dtype.kind == ("f" if task == "real" else target.y.dtype.kind)
    assert target.y.dtype.kind in "biUf"


def test_overruled() -> None:
    assert as_target([1, 2, 1], task="real").y.dtype == np.float64
    assert as_target([1, 2, 3], task="classes").y.tolist() == [1, 2, 3]
    assert as_target(["7", "8"], task="real").y.tolist() == [7, 8]
    assert as_target([True, False], task="real").y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("column", "task", "words"),
    [
        (["a", None], "auto", "row 1 is missing"),
        ([1.0, np.nan], "auto", "row 1 is missing"),
        ([1.5, np.inf], "auto", "row 1 is inf"),
        ([1.5, 2.0], "classes", "got 1.5"),
        (["a", "b"], "real", "'a'"),
        ([[1, 2]], "auto", r"\(1, 2\)"),
        (["a" * 201, "b"], "auto", "at most 200 characters"),
    ],
)
def test_refused(column: Any, task: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        as_target(column, "label", task)
    assert "label" in str(error.value)


def test_an_unknown_task() -> None:
    with pytest.raises(ConfigError, match="Did you mean classes"):
        as_target(["a"], task="clases")  # type: ignore[arg-type]
