"""Dropout with one mask per (example, feature), constant over time. Derivation:
docs/derivations/dropout.md.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator


def dropout_mask(key: tuple[int | str, ...], n: int, features: int, rate: float, like: Array) -> Array:
    """(n, 1, features): 1/keep with probability keep = 1 − rate, else 0. Drawn on the host: the same bits
    for every engine.
    """
    kept = generator("dropout", *key).random((n, 1, features)) >= rate
    return np.asarray((kept / (1 - rate)).astype(like.dtype), like=like)


def dropout(x: Array, mask: Array | None) -> Array:
    """x ∘ mask; x itself where mask is None. Linear in x, so the vjp is `dropout` of the cotangent with the
    same mask.
    """
    return x if mask is None else x * mask
