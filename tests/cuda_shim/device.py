"""The device of the tests: NumPy arrays, kernels by `CpuModule`, fresh memory full of NaNs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cuda_shim.module import CpuModule


class ShimDevice:
    """``order``, ``resident`` and ``patience`` are `CpuModule`'s; ``change`` is done to the kernels."""

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
