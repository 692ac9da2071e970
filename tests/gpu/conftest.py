"""`Cupy` on the stand-ins for CuPy and cuBLASLt."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import fake_cupy
import pytest
from cuda_shim.libraries import cublaslt

from s5ref.gpu import cupy_device
from s5ref.gpu.driver import Driver, Gpu
from s5ref.gpu.libraries import Library
from s5ref.gpu.machine import Found, Machine

GOOD = Machine(
    driver=Driver("580.65.06", 13000, (Gpu("GPU", 80 << 30, "9.0"),)),
    wheels={"cupy-cuda13x": "14.2.0"}, cupy="14.2.0", cuda=13020,
    nvrtc=Found("/lib/libnvrtc.so.13", "13.0"), cublaslt=Found("/lib/libcublasLt.so.13", "13.0.2"),
    nccl="nvidia-nccl-cu13 2.27.7",
)  # fmt: skip


@pytest.fixture
def good() -> Machine:
    """A machine that lacks nothing."""
    return GOOD


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`Cupy`, where the module cupy and cuBLASLt are stand-ins (marker cxx)."""
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setattr(cupy_device, "survey", lambda: GOOD)
    monkeypatch.setattr(cupy_device, "load", lambda stem, major: Library(cublaslt(), "stand-in"))
    device: Callable[..., Any] = cupy_device.Cupy
    return device
