"""The responses of the filters to series, and what they are reduced to. The reference: on any engine's
scan.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from s5ref import random
from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.features.channels import Seen
from s5ref.features.filters import Filters
from s5ref.ssm.discretize import first_order_hold

NAMES = ("max", "min", "mean", "share", "run", "excess")  # a filter's features; of the last three Q each
QUANTILES = 3
SAMPLE = 64  # series that thresholds are taken from


def features(seen: Seen, filters: Filters, engine: Engine) -> Array:
    """(n, F, 3 + 3 Q) float32 on the host: max, min and mean of each filter's response, and for each of its
    thresholds the share of steps above it, the most in a row, as a share, and the mean excess above it.
    """
    answers = np.empty((len(seen.offsets) - 1, filters.Lambda.size, 3 + 3 * QUANTILES), np.float32)
    for i, row in enumerate(answers):
        y = response(seen.series(i), filters, engine)
        row[:] = engine.to_host(reduce_response(y, engine.to_device(filters.thresholds)))
    return answers


def response(z: Array, filters: Filters, engine: Engine) -> Array:
    """y (L, F) = Re(C x) for one series z (L, channels), where the engine computes; of backward filters in
    the order in which they see the series. One step before the first u is 0, as is x.
    """
    return np.concatenate(list(_by_direction(z, filters, engine)), axis=1)


def _by_direction(z: Array, filters: Filters, engine: Engine) -> Iterator[Array]:
    for part, backward in filters.directions():
        hold, _ = first_order_hold(part.Lambda, np.ones(()))
        u, C, Lambda_bar, before, now = engine.to_device([z @ part.mix, part.C, *hold])
        u = u[::-1] if backward else u
        Bu = before * np.concatenate([np.zeros_like(u[:1]), u[:-1]]) + now * u
        (x, _), _ = engine.scan.value(Lambda_bar, Bu[None])
        yield np.real(C * x[0])


def reduce_response(y: Array, thresholds: Array) -> Array:
    """(F, 3 + 3 Q) of the responses y (L, F) to one series, see `features`. thresholds (Q, F)."""
    L, above = len(y), y[None] > thresholds[:, None]  # (Q, L, F)
    steps = np.sum(above, axis=1)
    excess = np.sum(np.where(above, y[None] - thresholds[:, None], 0), axis=1) / np.maximum(steps, 1)
    whole = np.stack([np.max(y, axis=0), np.min(y, axis=0), np.mean(y, axis=0)])
    return np.concatenate([whole, steps / L, longest_run(above) / L, excess]).T


def longest_run(above: Array) -> Array:
    """The most steps in a row at which ``above`` (Q, L, F) is true: (Q, F).

    By doubling: a run that ends at t, counted up to h steps, is continued by the one that ends at t − h.
    """
    run, h = above.astype(np.int64), 1
    while h < above.shape[1]:
        earlier = np.concatenate([np.zeros_like(run[:, :h]), run[:, :-h]], axis=1)
        run, h = np.where(run == h, h + earlier, run), 2 * h
    longest: Array = np.max(run, axis=1)
    return longest


def thresholds(seed: int, seen: Seen, filters: Filters, engine: Engine) -> Array:
    """(Q, F): quantiles of each filter's response to one of the series, drawn at random.

    The quantiles are a low-discrepancy sequence over the filters, k (√5 − 1)/2 modulo 1. A threshold lies
    halfway between two values of the response, so that rounding does not decide on which side they are.
    """
    F, n = filters.Lambda.size, len(seen.offsets) - 1
    rng = random.generator(seed, "features", "thresholds")
    series = rng.permutation(n)[: min(n, SAMPLE)][rng.integers(0, min(n, SAMPLE), F)]
    quantiles = (np.arange(1, QUANTILES * F + 1) * (5**0.5 - 1) / 2 % 1).reshape(F, QUANTILES).T
    values = np.empty((QUANTILES, F))
    for i in np.unique(series):
        chosen = np.flatnonzero(series == i)
        part = filters.take(chosen, int(np.sum(chosen < filters.forward)))
        y = np.sort(engine.to_host(response(seen.series(i), part, engine)), axis=0)
        at = (quantiles[:, chosen] * (len(y) - 1)).astype(int)
        between = [np.take_along_axis(y, np.minimum(at + k, len(y) - 1), axis=0) for k in (0, 1)]
        values[:, chosen] = np.mean(between, axis=0)
    return values
