"""One-hot channels, their order, and symbols that the alphabet does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.series import SeriesWarning
from s5ref.series.tokens import one_hot


@pytest.mark.parametrize(
    ("sequences", "alphabet"),
    [
        ([[10, 9], [2]], ("2", "9", "10")),
        (np.array([[3, 1], [1, 3]]), ("1", "3")),
        ([["up", "down"], ["up"]], ("down", "up")),
        ([["b", 1], ["a"]], ("1", "a", "b")),
    ],
)
def test_alphabet(sequences: Any, alphabet: tuple[str, ...]) -> None:
    values, lengths, got = one_hot(sequences, None)
    assert got == alphabet
    assert lengths.tolist() == [len(sequence) for sequence in sequences]
    assert [got[k] for k in values.argmax(axis=1)] == [str(s) for sequence in sequences for s in sequence]
    assert (values.sum(axis=1) == 1).all()


def test_unknown_symbols_are_rows_of_zeros_and_counted() -> None:
    with pytest.warns(SeriesWarning, match="2 \\('X', 'Z'\\)"):
        values, _, alphabet = one_hot(["AXZ"], ("A", "B"))
    assert alphabet == ("A", "B")
    np.testing.assert_array_equal(values, [[1, 0], [0, 0], [0, 0]])
