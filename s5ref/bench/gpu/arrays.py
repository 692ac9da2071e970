"""Large arrays on a device, full of random numbers, without drawing as many or sending them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator

if TYPE_CHECKING:
    from s5ref.gpu.device import Device

DRAWN = 2**18  # numbers, at most; the rows of a larger array repeat


def filled(device: Device, shape: tuple[int, ...], key: str, dtype: Any = np.float32) -> Array:
    """N(0, 1), real or complex. The same for the same key."""
    columns = shape[-1]
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    some = max(1, min(rows, DRAWN // columns))
    rng = generator("bench gpu", key)
    drawn = rng.standard_normal((some, columns))
    if np.dtype(dtype).kind == "c":
        drawn = drawn + 1j * rng.standard_normal((some, columns))
    block, x = device.to_device(drawn.astype(dtype)), device.empty((rows, columns), dtype)
    for begin in range(0, rows, some):
        x[begin : begin + some] = block[: min(some, rows - begin)]
    whole: Array = x.reshape(shape)
    return whole
