"""The device of the tests: NumPy arrays, kernels by `CpuModule`, fresh memory full of NaNs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cuda_shim.module import CpuModule


class ShimDevice:
    """``order``: of the threads in a block. ``change``: what is done to the kernels' text first."""

    def __init__(self, order: int = 0, change: Callable[[str], str] = lambda code: code) -> None:
        self.order = order
        self.change = change

    def module(self, code: str, options: Sequence[str]) -> CpuModule:
        return CpuModule(self.change(code), options, self.order)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        memory = np.empty(shape, dtype)
        memory.reshape(-1).view(np.uint8)[:] = 0xFF
        return memory
