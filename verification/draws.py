"""Random numbers of the checks: standard normal arrays, a stream per key."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator


class Normal:
    """``n(2, 3)`` is the next (2, 3) array of the stream of a key, ``n.complex(2, 3)`` one with two normal
    parts; ``n.rng`` draws anything else from it."""

    def __init__(self, *key: int | str) -> None:
        self.rng = generator(*key)

    def __call__(self, *shape: int) -> Array:
        return np.asarray(self.rng.standard_normal(shape))

    def complex(self, *shape: int) -> Array:
        return np.asarray(self(*shape) + 1j * self(*shape))
