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
    """Compiles kernels and has memory."""

    def module(self, code: str, options: Sequence[str]) -> Module: ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array: ...


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
