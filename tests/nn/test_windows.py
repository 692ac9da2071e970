"""Windows of steps: the mean of the valid ones or the last of them, not the first."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.nn.windows import MODES, Window, pool_windows, pool_windows_vjp

LENGTHS = np.array([7, 4, 1])
VALID = np.arange(7)[None, :, None] < LENGTHS[:, None, None]


def plain(x: np.ndarray, stride: int, mode: str, lengths: np.ndarray) -> np.ndarray:
    """The definition, window by window."""
    y = np.zeros((len(x), -(-x.shape[1] // stride), x.shape[2]))
    for n, j in np.ndindex(*y.shape[:2]):
        inside = x[n, j * stride : min((j + 1) * stride, lengths[n])]
        if len(inside):
            y[n, j] = inside.mean(axis=0) if mode == "mean" else inside[-1]
    return y


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_definition(mode: str, stride: int) -> None:
    x = np.random.default_rng(0).random((3, 7, 2))  # of one sign: a mean does not cancel
    whole, _ = pool_windows(x, Window(stride, mode), None)
    np.testing.assert_allclose(whole, plain(x, stride, mode, np.full(3, 7)), rtol=1e-14)
    some, _ = pool_windows(x, Window(stride, mode), VALID)
    np.testing.assert_allclose(some, plain(x, stride, mode, LENGTHS), rtol=1e-14)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("content", [np.inf, np.nan])
@pytest.mark.parametrize("mode", MODES)
def test_what_stands_at_padding_changes_no_bit(mode: str, content: float) -> None:
    x, window = np.random.default_rng(1).standard_normal((3, 7, 2)), Window(3, mode)
    want, residuals = pool_windows(x, window, VALID)
    got, _ = pool_windows(np.where(VALID, x, content), window, VALID)
    assert got.tobytes() == want.tobytes()
    dx = pool_windows_vjp(residuals, np.ones_like(want))
    assert not dx[~VALID[:, :, 0]].any()
    np.testing.assert_array_equal(dx.sum(axis=1), [[3, 3], [2, 2], [1, 1]])  # windows with a valid step
