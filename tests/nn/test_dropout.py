"""The dropout mask: constant over time, keyed, unbiased."""

from __future__ import annotations

import numpy as np

from s5ref.nn.dropout import dropout_mask


def test_dropout_mask_is_constant_over_time_keyed_and_unbiased() -> None:
    like = np.zeros(1, np.float32)
    mask = dropout_mask((3, 7, 0, 1), 400, 50, 0.3, like)
    assert mask.shape == (400, 1, 50)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.7)}
    kept = (mask > 0).mean()
    assert abs(kept - 0.7) <= 4 * (0.7 * 0.3 / mask.size) ** 0.5
    np.testing.assert_array_equal(mask, dropout_mask((3, 7, 0, 1), 400, 50, 0.3, like))
    for key in ((3, 8, 0, 1), (4, 7, 0, 1), (3, 7, 1, 1), (3, 7, 0, 0)):
        assert not np.array_equal(mask, dropout_mask(key, 400, 50, 0.3, like))
