"""Arrays from recycled memory: what nobody refers to any more is handed out again, still mapped.

A fresh large array costs a page fault for every 4 KB. Here every array, and every view of it, keeps its lease
alive, and the memory returns when the last of them is gone: nothing that anybody can still see is ever
overwritten, and a training step after the first one maps no new memory.
"""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import Any

import numpy as np

from s5ref.arrays import Array

LARGE = 1 << 16  # bytes; the allocator of the platform recycles smaller arrays itself
PATIENCE = 512  # leases during which memory may lie idle before it is given back to the system
ALIGNMENT = 64  # bytes of a cache line, and of the widest vector

_idle: defaultdict[int, list[tuple[int, Array]]] = defaultdict(list)  # size → (when returned, memory)
_leases = 0


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array, as `np.empty`."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    array: Array = np.asarray(_Lease(size)).view(dtype).reshape(shape)
    return array


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array that starts at a multiple of ALIGNMENT, without a lease."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array


class _Lease:
    """The owner of an array's memory for as long as the array or a view of it lives."""

    def __init__(self, size: int) -> None:
        global _leases
        _leases += 1
        try:
            _, self.memory = _idle[size].pop()
        except IndexError:
            _forget(_leases - PATIENCE)
            self.memory = aligned((size,), np.uint8)
        self.size = size
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self, idle: Any = _idle) -> None:
        idle[self.size].append((_leases, self.memory))


def _forget(before: int) -> None:
    """Drop what has been idle since before the given lease."""
    for size, kept in list(_idle.items()):
        _idle[size] = [entry for entry in kept if entry[0] >= before]
