"""Where kernels run: what the host code needs of CuPy, or of the CPU shim of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from s5ref.arrays import Array

Function = Callable[[tuple[int, ...], tuple[int, ...], Sequence[Any]], None]  # (grid, block, arguments)


class Module(Protocol):
    """Compiled kernels, by name."""

    def get_function(self, name: str) -> Function: ...


class Device(Protocol):
    """Compiles kernels, multiplies matrices, has memory.

    put         a copy of a host array on the device
    take        a copy on the host, as soon as it is computed
    gemm        out = op(a) op(b): real, 2-D, C-contiguous, of one dtype; op transposes where it is told to
    capture     body, recorded: calling the result runs it again. body runs once before it is recorded
    used_by     bytes of memory that body needs at most
    available   bytes of memory that are free
    """

    name: str

    def module(self, code: str, options: Sequence[str]) -> Module: ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array: ...

    def put(self, host: Array) -> Array: ...

    def take(self, x: Array) -> Array: ...

    def gemm(self, a: Array, b: Array, out: Array, a_transposed: bool, b_transposed: bool) -> None: ...

    def capture(self, body: Callable[[], None]) -> Callable[[], None]: ...

    def used_by(self, body: Callable[[], object]) -> int: ...

    def available(self) -> int: ...


class Cupy:
    """An NVIDIA GPU: `cupy.RawModule` and CuPy's memory pool. Made only where CuPy is installed."""

    def __init__(self) -> None:
        import cupy  # deferred: `import s5ref.gpu` needs no CuPy

        self._cupy = cupy

    def module(self, code: str, options: Sequence[str]) -> Module:
        module: Module = self._cupy.RawModule(code=code, options=tuple(options))
        return module

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        memory: Array = self._cupy.empty(shape, dtype)
        return memory
