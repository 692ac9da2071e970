"""Arrays as flat lists of numbers that other languages read without rounding.

A hexadecimal float (``0x1.8p+1``) is exact: ``%a`` of C's printf writes it; strtod, scanf's ``%la``, Julia,
Rust's hexf and Python's float.fromhex read it. docs/vectors.md has four lines for languages that lack one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array, to_pairs


def encoded(x: Array) -> list[int] | list[str]:
    """The numbers in C order: hexadecimal floats, complex numbers as real, imaginary, real, …; whole numbers
    and booleans are decimal."""
    if x.dtype.kind in "iub":
        return [int(k) for k in x.flat]
    parts = to_pairs(x) if x.dtype.kind == "c" else x
    return [float(k).hex() for k in parts.flat]


def decoded(dtype: str, shape: tuple[int, ...], numbers: Sequence[Any]) -> Array:
    """The inverse of `encoded`; ValueError where the shape needs another number of numbers."""
    kind = np.dtype(dtype).kind
    needed = int(np.prod(shape, dtype=np.int64)) * (2 if kind == "c" else 1)
    if len(numbers) != needed:
        raise ValueError(f"{dtype} {shape} needs {needed} numbers, got {len(numbers)}")
    if kind in "iub":
        return np.array([int(k) for k in numbers], dtype).reshape(shape)
    reals = np.array([float.fromhex(text) for text in numbers], np.float64)
    wide = reals.view(np.complex128) if kind == "c" else reals  # a view keeps the signs of zeros
    return wide.astype(dtype).reshape(shape)
