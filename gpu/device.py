"""Where kernels run: what the host code needs of a GPU, or of the CPU shim of the tests."""

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
    """As the device calls itself: "NVIDIA H100 80GB HBM3"; the shim's is "cpu shim"."""

    def module(self, code: str, options: Sequence[str]) -> Module:
        """The kernels of a text."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of the device that holds nothing yet."""

    def put(self, host: Array) -> Array:
        """A copy on the device, by pinned memory."""

    def take(self, x: Array) -> Array:
        """A copy on the host; waits for it."""

    def gemm(self, a: Array, b: Array, out: Array, a_transposed: bool, b_transposed: bool) -> None:
        """out = op(a) @ op(b): real, 2-D, C-contiguous, of one dtype."""

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """``body``, recorded as a graph: calling the result replays it. ``body`` runs once for real first."""

    def used_by(self, body: Callable[[], object]) -> int:
        """Bytes of device memory that ``body`` needs at most. ``body`` runs once."""

    def available(self) -> int:
        """Bytes free on the device now."""
