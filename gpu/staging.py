"""Copies from the host to the device by pinned memory, without waiting for the device."""

from __future__ import annotations

import itertools
import threading
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array

CHUNK = 8 << 20  # bytes of a buffer: large enough to keep the bus busy while the other buffer is filled


class _Buffer(NamedTuple):
    memory: Array  # pinned, as bytes
    free: Any  # the event after the last copy out of it


class Staging:
    """Two buffers in turn: while one is copied to the device, the host fills the other.

    An event after each copy says when its buffer may be filled again.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._buffers = itertools.cycle([self._new(), self._new()])
        self._lock = threading.Lock()

    def to_device(self, host: Array) -> Array:
        """A copy on the device, in the order of the current stream. ``host`` may be changed afterwards."""
        cuda = self._cupy.cuda
        device: Any = self._cupy.empty(host.shape, host.dtype)
        stream, address = cuda.get_current_stream(), device.data
        source = np.ascontiguousarray(host).reshape(-1).view(np.uint8)
        with self._lock:
            for start in range(0, source.size, CHUNK):
                part = source[start : start + CHUNK]
                buffer = next(self._buffers)
                buffer.free.synchronize()
                buffer.memory[: part.size] = part
                (address + start).copy_from_host_async(buffer.memory.ctypes.data, part.size, stream)
                buffer.free.record(stream)
        return device  # type: ignore[no-any-return]

    def _new(self) -> _Buffer:
        pinned = self._cupy.cuda.alloc_pinned_memory(CHUNK)
        memory: Array = np.ndarray((CHUNK,), np.uint8, buffer=pinned)
        return _Buffer(memory, self._cupy.cuda.Event(disable_timing=True))
