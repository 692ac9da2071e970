"""The shim's device with arrays that cannot be read by accident, and graphs that replay what was recorded.

A GPU's graph holds launches with their arguments, not Python: numbers that Python passes are those of the
recording for ever, and memory is that of the recording. So does the tape of `fake_device.DeviceArray`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fake_device import DeviceArray, noted

from cuda_shim.device import ShimDevice


class MockDevice(ShimDevice):
    """`ShimDevice`, of `DeviceArray`s."""

    def module(self, code: str, options: Sequence[str]) -> Any:
        return _Module(super().module(code, options))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return DeviceArray(super().empty(shape, dtype))

    def to_device(self, host: Any) -> Any:
        assert DeviceArray.tape is None, "a transfer while a graph is recorded"
        return DeviceArray(super().to_device(host))

    def to_host(self, x: Any) -> Any:
        assert isinstance(x, DeviceArray)
        return x.get()

    def gemm(self, a: Any, b: Any, out: Any, a_transposed: bool, b_transposed: bool) -> None:
        multiply = super().gemm
        noted(lambda: multiply(a._host, b._host, out._host, a_transposed, b_transposed))

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        body()
        tape: list[Callable[[], Any]] = []
        DeviceArray.tape = tape
        try:
            body()
        finally:
            DeviceArray.tape = None

        def replay() -> None:
            for operation in tape:
                operation()

        return replay


class _Module:
    def __init__(self, module: Any) -> None:
        self.module = module

    def get_function(self, name: str) -> Any:
        kernel = self.module.get_function(name)

        def launch(grid: Any, block: Any, arguments: Sequence[Any]) -> None:
            assert not any(isinstance(x, np.ndarray) for x in arguments), "a host array in a launch"
            given = [getattr(x, "_host", x) for x in arguments]
            noted(lambda: kernel(grid, block, given))

        return launch
