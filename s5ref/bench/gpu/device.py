"""A device as a benchmark needs it: it computes, and it says how long and in how much memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s5ref.gpu.device import Device

MODE = "S5REF_BENCH_MODE"  # cuda or cuda-tf32, in the environment of the process


class TimedDevice(NamedTuple):
    """device   where it is computed
    seconds  (body, times) → seconds of one of ``times`` bodies, by the device's clock
    bytes    (graphs …) → bytes of the device's memory that are taken; None where nobody knows
    """

    device: Device
    seconds: Callable[[Callable[[], object], int], float]
    bytes: Callable[..., int | None]


def current_gpu() -> TimedDevice:
    """The current GPU, in the mode of this process's environment."""
    from s5ref.gpu.cupy_device import Cupy
    from s5ref.gpu.measurements import pool_bytes, seconds

    return TimedDevice(Cupy(tf32=os.environ[MODE] == "cuda-tf32"), seconds, pool_bytes)
