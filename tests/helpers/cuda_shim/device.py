"""The device of the tests: NumPy arrays, kernels by `CpuModule`, fresh memory full of NaNs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cuda_shim.module import CpuModule


class ShimDevice:
    """``order``, ``resident`` and ``patience`` are `CpuModule`'s; ``change`` is done to the kernels."""

    name = "cpu shim"
    memory = 2**40  # bytes that it says are free

    def __init__(
        self,
        order: int = 0,
        change: Callable[[str], str] = lambda code: code,
        resident: int = 1,
        patience: float = 60,
    ) -> None:
        self.change = change
        self.run = order, resident, patience

    def module(self, code: str, options: Sequence[str]) -> CpuModule:
        return CpuModule(self.change(code), options, *self.run)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        memory = np.empty(shape, dtype)
        memory.reshape(-1).view(np.uint8)[:] = 0xFF
        return memory

    def to_device(self, host: Any) -> Any:
        assert isinstance(host, np.ndarray)
        return host.copy()

    def to_host(self, x: Any) -> Any:
        return np.array(x)

    def gemm(self, a: Any, b: Any, out: Any, a_transposed: bool, b_transposed: bool) -> None:
        for x in (a, b, out):
            assert x.ndim == 2
            assert x.dtype == out.dtype
            assert x.dtype.kind == "f"
            assert x.flags.c_contiguous
        np.matmul(a.T if a_transposed else a, b.T if b_transposed else b, out=out)

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        body()  # as a GPU's does, before it is recorded
        return body

    def used_by(self, body: Callable[[], object]) -> int:
        body()  # what the first call alone leaves behind is not the body's
        tracemalloc.start()
        body()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def available(self) -> int:
        return self.memory
