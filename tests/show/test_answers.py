"""Confusion matrices and the figures made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s5ref.data.batches import Dataset
from s5ref.show.answers import ClassRow, answer, per_class
from s5ref.train import runs
from s5ref.train.evaluate import evaluate


def test_answers_are_those_of_an_evaluation(run: Path, digits: Dataset) -> None:
    loaded, split = runs.load(run), digits.test
    assert split is not None
    said: list[float] = []
    found = answer(loaded, "test", split, "embedded", "numpy", said.append)
    scored = evaluate(loaded.model, loaded.params, loaded.statistics, split, "numpy", 30)
    assert found.scored.accuracy == scored.accuracy
    assert found.scored.loss == pytest.approx(scored.loss, rel=1e-6)
    assert said == [0.5, 1.0]
    confusion = found.confusion()
    assert confusion.sum() == len(split)
    assert np.trace(confusion) / len(split) == scored.accuracy
    assert list(confusion.sum(axis=1)) == list(np.bincount(split.targets, minlength=10))
    flipped = answer(loaded, "test", replace(split, targets=9 - split.targets), "", "numpy").confusion()
    assert np.array_equal(flipped, confusion[::-1])


def test_figures_of_each_class() -> None:
    confusion = np.array([[5, 1, 0], [2, 0, 3], [0, 0, 0]])
    assert per_class(confusion) == [
        ClassRow(0, 6, 5 / 6, 5 / 7, [(1, 1)]),
        ClassRow(1, 5, 0.0, 0.0, [(2, 3), (0, 2)]),
        ClassRow(2, 0, None, 0.0, []),
    ]
    assert per_class(np.array([[4, 0], [3, 0]]))[1].precision is None
