"""Named values as lines of text: ``name type rank shape…``, then the numbers, in C99's hexadecimal floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from s5ref.verification.conformance.hexadecimal import decoded, encoded

TYPES = ("float32", "float64", "complex64", "complex128", "int64", "bool")


def write_text(to: IO[str], named: Mapping[str, Any]) -> None:
    """One value after the other."""
    for name, value in named.items():
        if value is None:
            to.write(f"{name} none\n")
        elif isinstance(value, str):
            to.write(f"{name} text {value}\n")
        else:
            x = np.asarray(value)
            x = x.astype(np.int64) if x.dtype.kind == "i" else x
            to.write(" ".join(map(str, [name, x.dtype, x.ndim, *x.shape])) + "\n")
            to.write(" ".join(map(str, encoded(x))) + "\n")


def read_text(source: IO[str], count: int) -> dict[str, Any]:
    """``count`` values; ValueError naming the line that is not one, EOFError at an early end."""
    named: dict[str, Any] = {}
    for _ in range(count):
        words = _line(source).split()
        if len(words) >= 2 and words[1] in ("none", "text"):
            named[words[0]] = None if words[1] == "none" else words[2]
            continue
        if len(words) < 3 or words[1] not in TYPES or len(words) != 3 + int(words[2]):
            raise ValueError(f"expected `name type rank shape…`, got {' '.join(words)[:60]!r}")
        named[words[0]] = decoded(words[1], tuple(map(int, words[3:])), _line(source).split())
    return named


def _line(source: IO[str]) -> str:
    line = source.readline()
    if not line:
        raise EOFError("the program ended in the middle of an answer")
    return line
