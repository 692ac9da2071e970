"""What the host code needs of a GPU or of the CPU shim of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from s5ref.arrays import Array

Function = Callable[[tuple[int, ...], tuple[int, ...], Sequence[Any]], None]  # (grid, block, arguments)


class Module(Protocol):
    """Compiled kernels, by name."""

    def get_function(self, name: str) -> Function: ...


class Device(Protocol):
    """Compiles kernels, has memory, multiplies matrices, records graphs: `s5ref.gpu.cupy_device.Cupy`."""

    name: str
    """The device's own name, such as "NVIDIA H100 80GB HBM3" or "cpu shim"."""

    def module(self, code: str, options: Sequence[str]) -> Module:
        """The kernels of a source text, compiled."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of the device, not initialised."""

    def to_device(self, host: Array) -> Array:
        """A copy on the device."""

    def to_host(self, x: Array) -> Array:
        """A copy on the host; waits for it."""

    def gemm(self, a: Array, b: Array, out: Array, a_transposed: bool, b_transposed: bool) -> None:
        """out = op(a) @ op(b): real, 2-D, C-contiguous, of one dtype."""

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """Records ``body`` as a graph; calling the result replays it. ``body`` first runs once for real."""

    def used_by(self, body: Callable[[], object]) -> int:
        """Bytes of device memory that ``body`` needs at most. ``body`` runs once."""

    def available(self) -> int:
        """Bytes free on the device now."""
