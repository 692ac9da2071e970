"""The embedding is a matrix product."""

from __future__ import annotations

import numpy as np

from s5ref.nn.dense import embed, linear
from s5ref.random import generator


def test_embedding_is_the_product_with_one_hot_rows() -> None:
    rng = generator("embed")
    kernel, bias = rng.standard_normal((5, 3)), rng.standard_normal(3)
    tokens = np.array([[0, 4, 4], [2, 1, 0]])
    np.testing.assert_array_equal(embed(tokens, kernel, bias)[0], linear(np.eye(5)[tokens], kernel, bias)[0])
