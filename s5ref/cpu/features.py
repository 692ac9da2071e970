"""Random S5 features, compiled. Stands in for s5ref.features.responses.features.

A task is a block of filters on one series. It goes through the series tile by tile and keeps what the states
and the reductions need, so that nothing of the size of steps × filters is ever made. No task depends on
another or on the thread that runs it, and neither do the bits.

With a first-order hold x_k = Λ̄ x_{k−1} + b₁ u_{k−1} + b₀ u_k. The loop carries w with w_k = Λ̄ w_{k−1} +
u_{k−1}, so that x_k = (b₁ + Λ̄ b₀) w_k + b₀ u_k and Re(C x_k) = Re(c w_k) + d u_k with c = C (b₁ + Λ̄ b₀) and
d = Re(C b₀).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu.compile import compiled, device_function, writeable
from s5ref.cpu.parallel import run
from s5ref.cpu.simd import THRESHOLDS, reduce_responses, tile_product
from s5ref.cpu.tile import TILE
from s5ref.engine import Engine
from s5ref.features.channels import Seen
from s5ref.features.filters import Filters
from s5ref.ssm.discretize import first_order_hold

BLOCK = 32  # filters


class Joined(NamedTuple):
    """Series for compiled code: z (T, channels), offsets (n + 1,)."""

    z: Array
    offsets: Array


def features(seen: Seen, filters: Filters, _engine: Engine) -> Array:
    """(n, F, 3 + 3 Q) float32."""
    n, F = len(seen.offsets) - 1, filters.Lambda.size
    answers = np.empty((n, F, 3 + 3 * THRESHOLDS), np.float32)
    given, first = Joined(writeable(seen.z, np.float32), writeable(seen.offsets, np.int64)), 0
    for part, backward in filters.directions():
        width = part.Lambda.size
        tasks, mix = n * -(-width // BLOCK), writeable(part.mix, np.float32)
        run(_features, tasks, given, _rows(part), mix, backward, first, answers)
        first += width
    return answers


def _rows(filters: Filters) -> Array:
    """(5 + Q, F): what `reduce_responses` takes."""
    (Lambda_bar, before, now), _ = first_order_hold(filters.Lambda, np.ones(()))
    c, d = filters.C * (before + Lambda_bar * now), np.real(filters.C * now)
    return np.array([Lambda_bar.real, Lambda_bar.imag, c.real, c.imag, d, *filters.thresholds], np.float32)


def beginning(filters: int) -> Array:
    """(6 + 4 Q, F) float32: what `advance` carries, before the first step."""
    running = np.zeros((6 + 4 * THRESHOLDS, filters), np.float32)
    running[3], running[4] = -np.inf, np.inf
    return running


def advance(running: Array, z: Array, filters: Filters, steps: int) -> tuple[Array, Array]:
    """What is carried after one more step z (channels,), and the features (F, 3 + 3 Q) of the ``steps`` steps
    so far. With forward filters it is what `features` gives of these steps, to the same bits.
    """
    running, F = running.copy(), filters.Lambda.size
    answers = np.empty((F, 3 + 3 * THRESHOLDS), np.float32)
    mix, rows = writeable(filters.mix, np.float32), _rows(filters)
    _advance(writeable(z[None], np.float32), mix, rows, np.empty((1, F), np.float32), running, steps, answers)
    return running, answers


@compiled
def _advance(z, mix, filters, u, running, steps, answers):  # type: ignore[no-untyped-def]
    tile_product(z, mix, u)
    reduce_responses(u, filters, running, False)
    _end(running, np.float32(steps), answers)


@device_function
def _begin(running):  # type: ignore[no-untyped-def]
    """Before the first step. running (6 + 4 Q, F)."""
    for j in range(running.shape[1]):
        for r in range(len(running)):
            running[r, j] = 0
        running[3, j], running[4, j] = -np.inf, np.inf


@device_function
def _end(running, steps, answers):  # type: ignore[no-untyped-def]
    """After the last of ``steps`` steps. running (6 + 4 Q, F), answers (F, 3 + 3 Q)."""
    Q = THRESHOLDS
    for j in range(running.shape[1]):
        answers[j, 0], answers[j, 1], answers[j, 2] = running[3, j], running[4, j], running[5, j] / steps
        for q in range(Q):
            above = running[6 + 4 * q, j]
            answers[j, 3 + q], answers[j, 3 + Q + q] = above / steps, running[8 + 4 * q, j] / steps
            answers[j, 3 + 2 * Q + q] = running[9 + 4 * q, j] / max(above, np.float32(1))


def _reduce(lo, hi, series, filters, mix, backward, column, answers):  # type: ignore[no-untyped-def]
    """Tasks (series, block). filters (5 + Q, F), mix (channels, F), answers (n, …, 3 + 3 Q) from the column
    on.
    """
    z, offsets = series.z, series.offsets
    F = filters.shape[1]
    blocks = -(-F // BLOCK)
    u = np.empty((TILE, BLOCK), np.float32)
    states = np.empty((6 + 4 * THRESHOLDS, BLOCK), np.float32)
    for task in range(lo, hi):
        i, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, F)
        running = states[:, : last - first]
        _begin(running)
        begin, end = offsets[i], offsets[i + 1]
        for done in range(0, end - begin, TILE):
            height = min(TILE, end - begin - done)
            start = end - done - height if backward else begin + done
            inputs = u[:height, : last - first]
            tile_product(z[start : start + height], mix[:, first:last], inputs)
            reduce_responses(inputs, filters[:, first:last], running, backward)
        _end(running, np.float32(end - begin), answers[i, column + first : column + last])


_features = compiled(_reduce, allocates=True)
