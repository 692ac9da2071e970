"""Windows that are replaced by their mean: which steps a prediction rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.series.series import Series, offsets_of
from s5ref.show.occlusion import WINDOWS, log_odds, losses


def _one(L: int, times: bool = False) -> Series:
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.uniform(0.5, 1.5, L)) if times else None
    return Series(rng.standard_normal((L, 2)), offsets_of([L]), at)


@pytest.mark.parametrize(("L", "windows"), [(1, 1), (3, 1), (9, 2), (95, 23), (96, 24), (1000, 24)])
def test_the_loss_is_where_the_value_is_read(L: int, windows: int) -> None:
    """The value of a series is one of its steps: only the window of that step loses, and by its distance from
    the mean.
    """
    series, at = _one(L), 2 * L // 3
    edges, lost = losses(series, lambda of: of.values[of.offsets[:-1] + at, 1])
    assert (len(lost), edges[0], edges[-1]) == (windows, 0, L)
    k = int(np.searchsorted(edges, at, side="right")) - 1
    x = series.values[:, 1]
    assert lost[k] == pytest.approx(x[at] - x[edges[k] : edges[k + 1]].mean(), abs=1e-12)
    assert np.all(np.delete(lost, k) == 0)
    assert np.ptp(np.diff(edges)) <= 1


def test_what_only_reads_the_mean_loses_nothing_and_times_are_kept() -> None:
    series = _one(120, times=True)
    given: list[Any] = []

    def value(of: Series) -> Array:
        given.append(of.times)
        return np.add.reduceat(of.values[:, 0], of.offsets[:-1])

    _, lost = losses(series, value)
    assert np.allclose(lost, 0, atol=1e-12)
    assert series.times is not None
    assert given[1].tolist() == np.tile(series.times, WINDOWS).tolist()


def test_log_odds() -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    assert log_odds(p, 0)[0] == pytest.approx(np.log(0.25))
    assert np.isfinite(log_odds(p, 1)).all()
    sure = np.array([[1.0, 1e-30]])  # 1 − p would be 0
    assert log_odds(sure, 0)[0] == pytest.approx(30 * np.log(10))
