"""Inputs that every binary float holds exactly: dyadic rationals from raw words of Philox.

The words of the generator are the same on every machine; no floating-point function has touched them.
"""

from __future__ import annotations

import hashlib

import numpy as np

from s5ref.arrays import Array

BITS = 10  # of a draw, and its sign


class Dyadic:
    """k/2¹⁰ · size with k a whole number in −1023 … 1023, k odd: never 0. ``size`` is a power of two.

    The same ``key`` gives the same draws. ``name``: of the case that they are for, ``key + suffix``.
    """

    def __init__(self, key: str, suffix: str = "") -> None:
        self.name = key + suffix
        digest = hashlib.sha256(key.encode()).digest()
        self._philox = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def words(self, *shape: int) -> Array:
        """Whole numbers of 64 bits."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.asarray(self._philox.random_raw(count), dtype=np.uint64).reshape(shape)

    def __call__(self, *shape: int, size: float = 2.0) -> Array:
        k = (self.words(*shape) >> np.uint64(64 - BITS)).astype(np.int64)
        return np.asarray((2 * k + 1 - 2**BITS) * (size / 2**BITS))

    def positive(self, *shape: int, size: float = 2.0) -> Array:
        return np.abs(self(*shape, size=size))

    def complex(self, *shape: int, size: float = 2.0) -> Array:
        return np.asarray(self(*shape, size=size) + 1j * self(*shape, size=size))

    def integers(self, below: int, *shape: int) -> Array:
        return (self.words(*shape) % np.uint64(below)).astype(np.int64)

    def eigenvalues(self, *shape: int, size: float = 4.0) -> Array:
        """Decaying, of negative imaginary part, no two with the same ratio of parts."""
        return np.asarray(-0.125 - self.positive(*shape) - 1j * (0.25 + self.positive(*shape, size=size)))

    def multipliers(self, *shape: int) -> Array:
        """|Λ̄| < 1 (parts below 0.7), turning by any angle."""
        return self.complex(*shape, size=0.6875)

    def log_steps(self, *shape: int) -> Array:
        return np.asarray(-1.0 - self.positive(*shape, size=2.0))
