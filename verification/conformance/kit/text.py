"""Named values as lines of text: ``name type rank shape…``, then the numbers, in C99's hexadecimal floats.

``%a`` of printf writes them and ``%la`` of scanf reads them, in C and whatever follows it, without rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from s5ref.arrays import Array

TYPES = ("float32", "float64", "complex64", "complex128", "int64", "bool")


def write_text(to: IO[str], named: Mapping[str, Any]) -> None:
    """One value after the other."""
    for name, value in named.items():
        if value is None:
            to.write(f"{name} none\n")
        elif isinstance(value, str):
            to.write(f"{name} text {value}\n")
        else:
            _write_array(to, name, _as_array(value))


def read_text(source: IO[str], count: int) -> dict[str, Any]:
    """``count`` values; ValueError naming the line that is not one, EOFError at an early end."""
    found: dict[str, Any] = {}
    for _ in range(count):
        words = _line(source).split()
        if len(words) >= 2 and words[1] in ("none", "text"):
            found[words[0]] = None if words[1] == "none" else words[2]
            continue
        if len(words) < 3 or words[1] not in TYPES or len(words) != 3 + int(words[2]):
            raise ValueError(f"expected `name type rank shape…`, got {' '.join(words)[:60]!r}")
        shape = tuple(map(int, words[3:]))
        numbers = _line(source).split()
        found[words[0]] = _array(words[1], shape, numbers)
    return found


def _write_array(to: IO[str], name: str, array: Array) -> None:
    to.write(" ".join([name, array.dtype.name, str(array.ndim), *map(str, array.shape)]) + "\n")
    if array.dtype.kind in "ib":
        numbers = [str(int(x)) for x in array.ravel()]
    else:
        numbers = [float(x).hex() for x in _reals(array)]
    to.write(" ".join(numbers) + "\n")


def _array(dtype: str, shape: tuple[int, ...], numbers: list[str]) -> Array:
    wanted = np.dtype(dtype)
    parts = 2 if wanted.kind == "c" else 1
    if len(numbers) != parts * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{dtype} {shape} needs {parts * int(np.prod(shape))} numbers, got {len(numbers)}")
    if wanted.kind in "ib":
        return np.array([int(x) for x in numbers], wanted).reshape(shape)
    reals = np.array([float.fromhex(x) for x in numbers], np.float64)
    if parts == 2:
        reals = reals.view(np.complex128)
    return reals.astype(wanted).reshape(shape)


def _reals(array: Array) -> Array:
    """Real and imaginary parts in turn, flat, in float64 (exact)."""
    wide = np.ascontiguousarray(array.astype(np.result_type(array.dtype, np.float64)))
    return wide.reshape(-1).view(np.float64)


def _as_array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(np.int64) if array.dtype.kind == "i" else array


def _line(source: IO[str]) -> str:
    line = source.readline()
    if not line:
        raise EOFError("the program ended in the middle of an answer")
    return line
