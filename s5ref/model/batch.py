"""What one call of a model consumes."""

from __future__ import annotations

from typing import NamedTuple

from s5ref.arrays import Array
from s5ref.tree import described


@described
class Batch(NamedTuple):
    """One batch.

    inputs     (N, L) integer tokens, (N, L, in_dim) reals; retrieval: (N, 2, L) or (N, 2, L, in_dim)
    targets    (N,) integer classes; regression: (N, L, K) reals, pooled_regression:
    (N, K), of one value the axis K may be missing; None for inference
    lengths    (N,) valid steps of each sequence (retrieval: (N, 2)); None: all L
    intervals  (N, L) (retrieval: (N, 2, L)) sampling interval before each step, in units of the regular
    one; None: regular sampling
    resets     (N, L) (retrieval: (N, 2, L)) bool, True where an episode begins: the state does not cross it.
    (N,) (retrieval: (N, 2)): at the first step. None: nowhere
    """

    inputs: Array
    targets: Array | None = None
    lengths: Array | None = None
    intervals: Array | None = None
    resets: Array | None = None
