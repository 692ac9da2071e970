"""The filters: random diagonal state-space models, each with one state, one input and one output."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref import random
from s5ref.arrays import Array

CYCLES = 4.0  # the most oscillations within a time constant
CHANNELS = 4  # of a filter's input, in the mean


class Filters(NamedTuple):
    """F filters ẋ = Λx + u with u = z · mix, y = Re(C x), and what their responses are compared with.

    Lambda      (F,) complex, 1/step: −1/τ + iω
    C           (F,) complex
    mix         (channels, F): the input of each filter
    thresholds  (Q, F): values of the response
    forward     number of filters, the first ones, that go forward in time; the others go backward
    """

    Lambda: Array
    C: Array
    mix: Array
    thresholds: Array
    forward: int

    def take(self, chosen: Any, forward: int) -> Filters:
        """The filters of an index or a slice, of which the first ``forward`` go forward."""
        rows = (self.Lambda, self.C, self.mix, self.thresholds)
        Lambda, C, mix, thresholds = (a[..., chosen] for a in rows)
        return Filters(Lambda, C, mix, thresholds, forward)

    def directions(self) -> list[tuple[Filters, bool]]:
        """The filters of each direction, and whether it is backward."""
        forward = self.take(slice(self.forward), self.forward)
        backward = self.take(slice(self.forward, None), 0)
        return [(part, part is backward) for part in (forward, backward) if part.Lambda.size]


def draw(seed: int, filters: int, channels: int, steps: float, online: bool = False) -> Filters:
    """Random filters, without thresholds yet.

    Parameters
    ----------
    seed : int
    filters : int
        F.
    channels : int
    steps : float
        Typical length of a series, the longest time constant.
    online : bool
        All filters go forward; else half of them.

    Notes
    -----
    τ is log-uniform in [1, steps] and ω = 2πc/τ, at most π, with c uniform in [0, 4]. C = e^{iθ}(1 − |Λ̄|)
    with θ uniform: |y| ≤ max |u|. The weights of a mix are normal on each channel with probability
    4/channels, on at least one. Chosen by cross-validation (docs/results/features).
    """
    rng = random.generator(seed, "features", "filters")
    tau = np.exp(random.log_uniform(rng, (filters,), 1.0, max(steps, 2.0)))
    omega = np.minimum(2 * np.pi * rng.uniform(0, CYCLES, filters) / tau, np.pi)
    Lambda = -1 / tau + 1j * omega
    C = np.exp(2j * np.pi * rng.random(filters)) * (1 - np.exp(-1 / tau))
    chosen = rng.random((channels, filters)) < CHANNELS / channels
    chosen[rng.integers(0, channels, filters), np.arange(filters)] |= ~chosen.any(axis=0)
    mix = np.where(chosen, rng.standard_normal((channels, filters)), 0.0)
    return Filters(Lambda, C, mix, np.empty((0, filters)), filters if online else filters // 2)
