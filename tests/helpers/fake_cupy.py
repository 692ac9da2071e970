"""A stand-in for the module cupy: what `s5ref.gpu.cupy_device` uses of it, on NumPy arrays.

Streams are queues that run only when somebody waits for them, as late as a GPU might: memory that is used
again too early holds the wrong values here too. A stream that captures keeps its work for the graph.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

Work = Callable[[], None]
KERNELS: dict[str, Callable[..., None]] = {}  # by name: what `RawModule.get_function` launches


class Pointer:
    """An address, and the memory that it keeps."""

    def __init__(self, ptr: int, keeps: Any) -> None:
        self.ptr, self._keeps = ptr, keeps

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.ptr + offset, self._keeps)

    def copy_from_host_async(self, mem: int, size: int, stream: Stream) -> None:
        assert isinstance(mem, int)

        def copy() -> None:
            ctypes.memmove(self.ptr, mem, size)

        stream.do(copy)


class ndarray(np.ndarray[Any, Any]):
    """A device array."""

    @property
    def data(self) -> Any:
        return Pointer(self.ctypes.data, self)


class MemoryPool:
    """Memory at multiples of 512, which is never given out twice."""

    def __init__(self) -> None:
        self._total = 0

    def malloc(self, size: int) -> np.ndarray[Any, Any]:
        rounded = max(1, -(-size // 512)) * 512
        self._total += rounded
        memory = np.full(rounded + 512, 0xFF, np.uint8)
        start = -memory.ctypes.data % 512
        return memory[start : start + rounded]

    def total_bytes(self) -> int:
        return self._total

    def free_bytes(self) -> int:
        return 1000


class Stream:
    """A queue of work."""

    current: Stream
    made = 0

    def __init__(self, non_blocking: bool = False) -> None:
        Stream.made += 1
        self.ptr = 0x1000 + Stream.made
        self.queue: list[Work] = []
        self.captured: list[Work] | None = None
        self._before: list[Stream] = []

    def do(self, work: Work) -> None:
        (self.queue if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        if self.captured is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        while self.queue:
            self.queue.pop(0)()

    def is_capturing(self) -> bool:
        return self.captured is not None

    def begin_capture(self) -> None:
        assert self is not default
        self.captured = []

    def end_capture(self) -> Graph:
        captured, self.captured = self.captured, None
        assert captured is not None
        return Graph(captured)

    def __enter__(self) -> Stream:
        self._before.append(Stream.current)
        Stream.current = self
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current = self._before.pop()


class Graph:
    def __init__(self, work: list[Work]) -> None:
        self.work = work

    def launch(self) -> None:
        for work in self.work:
            Stream.current.do(work)


class Event:
    """Waiting for it runs the stream up to where it was recorded."""

    def __init__(self, disable_timing: bool = False) -> None:
        self._stream: Stream | None = None
        self._reached = True

    def record(self, stream: Stream) -> None:
        self._stream, self._reached = stream, False
        stream.do(self._reach)

    def _reach(self) -> None:
        self._reached = True

    def synchronize(self) -> None:
        while not self._reached:
            assert self._stream is not None
            self._stream.queue.pop(0)()


class RawModule:
    """``code``: the name of one of `KERNELS`."""

    def __init__(self, *, code: str, options: Sequence[str]) -> None:
        assert isinstance(options, tuple)
        self.code = code

    def get_function(self, name: str) -> Callable[[Any, Any, Sequence[Any]], None]:
        kernel = KERNELS[name]
        return lambda grid, block, arguments: Stream.current.do(lambda: kernel(*arguments))


default = Stream()
Stream.current = default
_pools = [MemoryPool()]


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    _pools.append(allocator.__self__)
    try:
        yield
    finally:
        _pools.pop()


def empty(shape: tuple[int, ...], dtype: Any) -> ndarray:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    array: ndarray = _pools[-1].malloc(size)[:size].view(dtype).reshape(shape).view(ndarray)
    return array


def asnumpy(x: ndarray) -> np.ndarray[Any, Any]:
    Stream.current.synchronize()
    return np.array(x)


def get_default_memory_pool() -> MemoryPool:
    return _pools[0]


runtime = SimpleNamespace(
    getDevice=lambda: 0,
    getDeviceProperties=lambda device: {"name": b"fake GPU"},
    memGetInfo=lambda: (5000, 9000),
)
cuda = SimpleNamespace(
    MemoryPool=MemoryPool, Stream=Stream, Event=Event, using_allocator=using_allocator, runtime=runtime,
    get_current_stream=lambda: Stream.current, alloc_pinned_memory=bytearray,
)  # fmt: skip
