"""AdamW over all parameters at once: one flat buffer, one launch. kernels/adamw.cu; the numbers are
`s5ref.train.optim.adamw`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import THREADS, Launcher, blocks_for, launch
from s5ref.train.optim import B1, B2, Group


class Layout(NamedTuple):
    """Where each leaf lies in the flat buffer: names, shapes, and where each ends, on the host."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    ends: Array


def layout(params: Mapping[str, Array]) -> Layout:
    """The leaves one after the other, in their order."""
    sizes = np.array([int(p.size) for p in params.values()], np.int64)
    return Layout(tuple(params), tuple(tuple(p.shape) for p in params.values()), np.cumsum(sizes))


def flatten(at: Layout, leaves: Mapping[str, Array]) -> Array:
    """The flat buffer of the leaves."""
    flat: Array = np.concatenate([leaves[name].reshape(-1) for name in at.names])
    return flat


def unflatten(at: Layout, flat: Array) -> dict[str, Array]:
    """The leaves as views of the buffer."""
    ends = [int(end) for end in at.ends]
    parts = zip(at.names, at.shapes, [0, *ends], ends, strict=False)
    return {name: flat[begin:end].reshape(shape) for name, shape, begin, end in parts}


def settings(at: Layout, count: int, groups: Mapping[str, Group], rates: Mapping[str, float]) -> Array:
    """What changes with the update: 1 − b1ᵗ, 1 − b2ᵗ, every leaf's rate, then its decay. float64, host."""
    return np.array(
        [
            1.0 - B1**count,
            1.0 - B2**count,
            *(rates[groups[name].rate] for name in at.names),
            *(groups[name].weight_decay for name in at.names),
        ]
    )


class Flat(NamedTuple):
    """Parameters and the two moments, one buffer each."""

    params: Array
    first: Array
    second: Array


def adamw_flat(
    on: Launcher, state: Flat, grads: Array, ends: Array, settings: Array, guard: Array | None = None
) -> Flat:
    """The update in place: ends and settings (in the parameters' dtype) lie on the device. Nothing changes
    where one of the two numbers of ``guard`` is not finite.
    """
    params, first, second = state
    kernel = on.kernel("adamw", "adamw", params.dtype)
    size, segments = int(params.size), int(ends.size)
    arguments = (params, grads, first, second, ends, settings, guard, params, first, second)
    launch(kernel, blocks_for(size), THREADS, *arguments, np.int64(size), np.int32(segments))
    return state
