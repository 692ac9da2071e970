"""Pooling divides by the length and ignores padding."""

from __future__ import annotations

import numpy as np

from s5ref.nn.pool import pool_last, pool_mean


def test_pooling_divides_by_the_length_and_ignores_what_stands_at_padding() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    x[1, 1:] = 1e300
    lengths = np.array([3, 1])
    np.testing.assert_array_equal(pool_mean(x, lengths)[0], [[2, 3], [6, 7]])
    np.testing.assert_array_equal(pool_last(x, lengths)[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(pool_last(x[:1], None)[0], [[4, 5]])
