"""Sequences of symbols as one-hot channels over their alphabet."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.series.series import shown, warn


def one_hot(sequences: Sequence[Any], alphabet: Sequence[str] | None) -> tuple[Array, Array, tuple[str, ...]]:
    """Symbols as rows that are 1 in the channel of the symbol and 0 elsewhere.

    Parameters
    ----------
    sequences : sequence
        Each a text, whose characters are the symbols, or a sequence of texts or integers.
    alphabet : sequence of str or None
        The symbols in the order of their channels. None: all that occur, integers by value, others as text.

    Returns
    -------
    values : (T, A) float64
    lengths : (n,) int64
    alphabet : tuple of str
        An integer is the text of its decimal digits.

    Raises
    ------
    DataError
        On a symbol that is neither text nor an integer.

    Notes
    -----
    A symbol that is not in the alphabet is a row of zeros, which a linear system does not see; a warning
    counts these symbols.
    """
    flat: list[Any] = []
    for i, sequence in enumerate(sequences):
        if not isinstance(sequence, str | Sequence | np.ndarray):
            raise DataError(
                f"series {i}: must be a text or a sequence of symbols; got {shown([sequence])}.",
                "Give one sequence a series, as in ['ACGT', 'CAT'].",
            )
        for symbol in sequence:
            if not isinstance(symbol, str | Integral):
                raise DataError(
                    f"series {i}: tokens must be text or integers; got {shown([symbol])}.",
                    "Leave tokens=True out for real numbers.",
                )
            flat.append(symbol)
    if alphabet is None:
        distinct = set(flat)
        by_value = all(isinstance(symbol, Integral) for symbol in distinct)
        alphabet = [str(symbol) for symbol in sorted(distinct, key=None if by_value else str)]
    index = {str(symbol): k for k, symbol in enumerate(alphabet)}
    codes = np.array([index.get(str(symbol), -1) for symbol in flat], dtype=np.int64)
    values = np.zeros((len(codes), len(index)))
    (known,) = np.nonzero(codes >= 0)
    values[known, codes[known]] = 1
    if len(known) < len(codes):
        unknown = sorted({str(s) for s, code in zip(flat, codes, strict=True) if code < 0})
        warn(f"Symbols not in the alphabet are rows of zeros: {len(codes) - len(known)} ({shown(unknown)}).")
    return values, np.array([len(sequence) for sequence in sequences], dtype=np.int64), tuple(index)
