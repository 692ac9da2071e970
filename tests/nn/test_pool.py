"""Pooling divides by the length and ignores padding; a maximum goes to the first of equal steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from s5ref.nn.pool import POOLS, pool_last, pool_max, pool_mean, pool_mean_max, pool_vjp


def test_pooling_divides_by_the_length_and_ignores_what_stands_at_padding() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    x[1, 1:] = 1e300
    lengths = np.array([3, 1])
    np.testing.assert_array_equal(pool_mean(x, lengths)[0], [[2, 3], [6, 7]])
    np.testing.assert_array_equal(pool_last(x, lengths)[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(pool_last(x[:1], None)[0], [[4, 5]])
    np.testing.assert_array_equal(pool_max(x, lengths)[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(pool_mean_max(x, lengths)[0], [[6, 8], [12, 14]])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("content", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("name", POOLS)
def test_what_stands_at_padding_changes_no_bit(name: str, content: float) -> None:
    x = np.random.default_rng(0).standard_normal((3, 6, 4)).astype("float32")
    lengths, dy = np.array([6, 2, 1]), np.ones((3, 4), "float32")
    want, residuals = POOLS[name](x, lengths)
    with np.errstate(over="ignore"):
        other = np.where(np.arange(6)[None, :, None] < lengths[:, None, None], x, np.float32(content))
    got, other_residuals = POOLS[name](other, lengths)
    assert got.tobytes() == want.tobytes()
    assert pool_vjp(other_residuals, dy).tobytes() == pool_vjp(residuals, dy).tobytes()
    assert not pool_vjp(residuals, dy)[1, 2:].any()


@pytest.mark.parametrize("lengths", [None, np.array([4, 3])])
def test_the_first_of_equal_steps_has_the_cotangent(lengths: np.ndarray | None) -> None:
    x = np.array([[[1.0, 7.0], [2.0, 7.0], [2.0, 0.0], [1.0, 0.0]]] * 2)
    y, residuals = pool_max(x, lengths)
    np.testing.assert_array_equal(y, [[2, 7], [2, 7]])
    dx = pool_vjp(residuals, np.array([[3.0, 5.0], [-3.0, -5.0]]))
    np.testing.assert_array_equal(dx[0], [[0, 5], [3, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(dx[1], -dx[0])


def test_at_ties_it_is_a_subgradient_and_a_maximum_of_minus_infinity_is_its_own() -> None:
    """max z ≥ max x + ⟨g, z − x⟩ for every z, exactly, on all small whole numbers."""
    grid = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))[:, :, None]
    y, residuals = pool_max(grid, None)
    g = pool_vjp(residuals, np.ones_like(y))
    for x, top, slope in zip(grid, y, g, strict=True):
        assert (y[:, 0] >= top + np.sum(slope * (grid - x), axis=(1, 2))).all()
    lowest = np.full((1, 3, 1), -np.inf)
    assert pool_max(lowest, np.array([2]))[0] == -np.inf


@pytest.mark.parametrize("name", POOLS)
def test_nan_at_a_valid_step_is_not_hidden(name: str) -> None:
    x = np.arange(8.0).reshape(1, 4, 2)
    x[0, 2, 1] = np.nan
    y, residuals = POOLS[name](x, np.array([3]))
    assert np.isnan(y).tolist() == [[False, True]]
    if name == "max":
        np.testing.assert_array_equal(pool_vjp(residuals, np.ones((1, 2)))[0, :, 1], [0, 0, 1, 0])
