"""Which steps a prediction rests on: what it loses when a window of the series is replaced by its mean.

Each channel of the window takes its own mean there. The mean of the whole series would make a jump at both
ends of the window, and the jumps would decide. So the level of a window is not seen, only its course.
Source: Zeiler and Fergus, arXiv 1311.2901, section 4.2, who slide a grey square over an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.series.series import Series, offsets_of

WINDOWS, SHORTEST = 24, 4  # at most; steps, where the series has as many


class Occlusion(NamedTuple):
    """One series: its row; what is true and what was answered, as text, with the probability of the answer
    (None of a regression); values (L, C); windows edges[k] to edges[k + 1], edges (W + 1,); losses (W,).
    """

    row: int
    truth: str
    answer: str
    probability: float | None
    values: Array
    edges: Array
    losses: Array


def log_odds(p: Array, k: int) -> Array:
    """(n,) log of the probability of class ``k`` over that of all others, of probabilities p (n, K)."""
    tiny = np.finfo(float).tiny
    odds: Array = np.log(np.maximum(p[:, k], tiny)) - np.log(
        np.maximum(np.delete(p, k, axis=1).sum(axis=1), tiny)
    )
    return odds


def losses(series: Series, value: Callable[[Series], Array]) -> tuple[Array, Array]:
    """What one series loses of its value without each of its windows.

    Parameters
    ----------
    series : Series
        One.
    value : function
        From n series to (n,).

    Returns
    -------
    edges : (W + 1,) int
        Window k is from edges[k] to edges[k + 1]: 24 equal ones, or as many as leave 4 steps to each.
    losses : (W,)
        The value of the series minus that of the series with the window at its mean.
    """
    L, C = series.values.shape
    W = max(1, min(WINDOWS, L // SHORTEST))
    edges = np.linspace(0, L, W + 1).astype(int)
    values = np.tile(series.values, (W, 1, 1))
    for k, one in enumerate(values):
        window = one[edges[k] : edges[k + 1]]
        window[:] = window.mean(axis=0)
    times = None if series.times is None else np.tile(series.times, W)
    without = Series(values.reshape(-1, C), offsets_of([L] * W), times, series.channels)
    return edges, value(series)[0] - value(without)
