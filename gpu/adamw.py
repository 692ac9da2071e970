"""AdamW over all parameters at once: one flat buffer, one launch. kernels/adamw.cu; the numbers are
`s5ref.optim.adamw.adamw`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.gpu.launch import THREADS, Launcher, blocks_for, launch
from s5ref.optim.adamw import B1, B2, Group

ALIGNED = 64  # numbers: leaves begin at multiples of 256 bytes, for which matrix products are fastest


class Layout(NamedTuple):
    """Where each leaf lies in the flat buffer: names, shapes, begin and end of its segment (host arrays). The
    end of a segment that its leaf does not fill is 0, and AdamW keeps it 0.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    begins: tuple[int, ...]
    ends: Array


def layout(params: Leaves) -> Layout:
    """The leaves one after the other, in their order."""
    sizes = [-(-int(p.size) // ALIGNED) * ALIGNED for p in params.values()]
    ends = np.cumsum(np.array(sizes, np.int64))
    begins = tuple(int(end) - size for end, size in zip(ends, sizes, strict=True))
    return Layout(tuple(params), tuple(tuple(p.shape) for p in params.values()), begins, ends)


def flatten(at: Layout, leaves: Leaves) -> Array:
    """The flat buffer of the leaves, on the host."""
    flat: Array = np.zeros(int(at.ends[-1]), leaves[at.names[0]].dtype)
    for name, leaf in unflatten(at, flat).items():
        leaf[...] = leaves[name]
    return flat


def unflatten(at: Layout, flat: Array) -> dict[str, Array]:
    """The leaves as views of the buffer."""
    parts = zip(at.names, at.shapes, at.begins, strict=True)
    return {name: flat[begin : begin + math.prod(shape)].reshape(shape) for name, shape, begin in parts}


def settings(at: Layout, count: int, groups: Mapping[str, Group], rates: Mapping[str, float]) -> Array:
    """What changes from update to update: 1 − b1ᵗ, 1 − b2ᵗ, the rate of every leaf, then the decay of
    every leaf. float64, host.
    """
    own = [groups[name] for name in at.names]
    decays = [group.weight_decay for group in own]
    return np.array([1.0 - B1**count, 1.0 - B2**count, *(rates[group.rate] for group in own), *decays])


class Flat(NamedTuple):
    """Parameters and the two moments, one buffer each."""

    params: Array
    first: Array
    second: Array


def adamw_flat(
    on: Launcher, state: Flat, grads: Array, ends: Array, settings: Array, guard: Array | None = None
) -> None:
    """The update in place: ends and settings (in the parameters' dtype) lie on the device. Nothing changes
    where one of the two numbers of ``guard`` is not finite.
    """
    params, first, second = state
    kernel = on.kernel("adamw", "adamw", params.dtype)
    size, segments = int(params.size), int(ends.size)
    arguments = (params, grads, first, second, ends, settings, guard, params, first, second)
    launch(kernel, blocks_for(size), THREADS, *arguments, np.int64(size), np.int32(segments))
