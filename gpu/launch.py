"""Kernels by name: modules are compiled once, arrays are made contiguous, grids have one dimension."""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import S5Error
from s5ref.gpu.device import Device, Function, Module
from s5ref.gpu.source import options, source

THREADS = 256  # of a block, unless a kernel says otherwise
MAX_BLOCKS = 2**31 - 1  # in the first dimension of a grid; the other two hold 65535 and are not used

REALS = {"float32": "float", "complex64": "float", "float64": "double", "complex128": "double"}


class Kernel(NamedTuple):
    """A compiled kernel, and the real type it computes in."""

    name: str
    dtype: np.dtype[Any]
    function: Function


class Launcher:
    """Compiles the kernels of a device. ``strict``: a b + c is never contracted to one rounding."""

    def __init__(self, device: Device, strict: bool = False) -> None:
        self.device = device
        self.strict = strict
        self._modules: dict[tuple[Any, ...], Module] = {}
        self._kernels: dict[tuple[Any, ...], Kernel] = {}

    def kernel(self, file: str, name: str, dtype: Any, macros: dict[str, int] | None = None) -> Kernel:
        """A kernel for arrays of ``dtype`` (a real type, or the complex one of it)."""
        real = REALS.get(np.dtype(dtype).name)
        if real is None:
            raise S5Error(
                f"GPU kernels compute in float32 and float64; got {np.dtype(dtype).name}.",
                "Use float32 or float64.",
            )
        key = (file, real, *(macros or {}).items())
        if key not in self._modules:
            self._modules[key] = self.device.module(source(file), options(real, macros, self.strict))
        if (*key, name) not in self._kernels:
            number = np.dtype(np.float32 if real == "float" else np.float64)
            self._kernels[*key, name] = Kernel(name, number, self._modules[key].get_function(name))
        return self._kernels[*key, name]

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory that is not initialised, for a kernel to write."""
        memory: Array = self.device.empty(shape, dtype)
        return memory

    def like(self, x: Array) -> Array:
        """Memory of the shape and dtype of x."""
        return self.empty(tuple(x.shape), x.dtype)


def launch(kernel: Kernel, blocks: int, threads: int, *arguments: Any) -> None:
    """Launches ``blocks`` × ``threads``. An absent array (None) is passed as a null pointer."""
    if blocks > MAX_BLOCKS:
        raise S5Error(f"A grid has at most {MAX_BLOCKS} blocks; got {blocks}.", "Use smaller batches.")
    for argument in arguments:
        if not isinstance(argument, np.generic | None):
            _check(kernel, argument)
    kernel.function(
        (blocks,), (threads,), tuple(np.uintp(0) if argument is None else argument for argument in arguments)
    )


def _check(kernel: Kernel, x: Array) -> None:
    """S5Error for another precision or strides: a kernel gets an address only and would read it wrongly."""
    fits = x.dtype.kind not in "fc" or np.finfo(x.dtype).dtype == kernel.dtype
    if not fits or not x.flags.c_contiguous:
        raise S5Error(
            f"{kernel.name}: arrays must be contiguous and of {kernel.dtype}; got {x.dtype} with strides "
            f"{x.strides}.",
            "Give all arguments one precision (astype).",
        )


def blocks_for(size: int, threads: int = THREADS) -> int:
    """The number of blocks with one thread per element."""
    return -(-size // threads)


@overload
def contiguous(x: Array) -> Array: ...
@overload
def contiguous(x: Array | None) -> Array | None: ...
def contiguous(x: Array | None) -> Array | None:
    """x, or a C-contiguous copy of it, because kernels know no strides. None stays None."""
    return x if x is None or x.flags.c_contiguous else x.copy()
