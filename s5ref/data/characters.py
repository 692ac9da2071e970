"""Texts as sequences of characters, as torchtext numbers them.

A text is characters[:L−1] and <eos>, padded to L; lengths include <eos>. Vocabulary: <pad> 0, <unk> 1,
<eos> 2, then the characters of the training texts, as they are cut, by falling frequency, ties by code point.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from s5ref.arrays import Array
from s5ref.data.batches import Split, to_tokens
from s5ref.errors import DataError

PAD, UNK, EOS = 0, 1, 2
_POINTS = 0x110000  # code points of Unicode


def points(text: str, length: int) -> Array:
    """The code points of the first ``length`` − 1 characters."""
    return np.frombuffer(text[: length - 1].encode("utf-32-le", "surrogatepass"), "<u4")


def count(texts: Iterable[str], length: int) -> Array:
    """How often each code point occurs in the texts, cut to ``length`` − 1 characters."""
    counts = np.zeros(_POINTS, np.int64)
    for text in texts:
        found, often = np.unique(points(text, length), return_counts=True)
        counts[found] += often
    return counts


def vocabulary(counts: Array, least: int = 1) -> Array:
    """The table from code points to tokens of the characters that occur at least ``least`` times.

    Raises
    ------
    DataError
        If there are more than 253, so that a token takes more than a byte.
    """
    kept = np.flatnonzero(counts >= max(least, 1))
    kept = kept[np.argsort(-counts[kept], kind="stable")]
    if len(kept) > 253:
        raise DataError(
            f"The training texts must have at most 253 characters that occur {least} times or more; "
            f"got {len(kept)}.",
            "Check that they are the texts of this task.",
        )
    table = np.full(_POINTS, UNK, np.uint8)
    table[kept] = np.arange(3, 3 + len(kept))
    return table


def encode(text: str, table: Array, row: Array) -> int:
    """Write the tokens of a text into ``row`` (L,), which holds <pad>. Returns its length."""
    found = table[points(text, len(row))]
    row[: len(found)] = found
    row[len(found)] = EOS
    return len(found) + 1


def decode(data: bytes, where: str) -> str:
    """The text of UTF-8.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} must be UTF-8; {error}.", "Get it again: it is damaged, or no text."
        ) from error


def split(arrays: dict[str, Array], name: str) -> Split:
    """The tokens, lengths and targets of a split."""
    return Split(arrays[f"{name}_inputs"], arrays[f"{name}_targets"], to_tokens, arrays[f"{name}_lengths"])
