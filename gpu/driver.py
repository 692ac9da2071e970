"""NVIDIA's driver and the GPUs that it reports, by ctypes. Needs no CuPy and creates no CUDA context."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

LIBRARY = "libcuda.so.1"
KERNEL_MODULE = Path("/proc/driver/nvidia/version")
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True)
class Gpu:
    """One GPU: bytes of memory, compute capability "9.0"."""

    name: str
    memory: int
    capability: str


@dataclass(frozen=True)
class Driver:
    """``version`` of the kernel module ("" if not told); ``cuda``: the newest CUDA it runs, 13000 is 13.0.

    ``problem``: the driver's reason why there are no GPUs.
    """

    version: str
    cuda: int
    gpus: tuple[Gpu, ...]
    problem: str = ""


class _Refused(Exception):
    """A call of the driver that failed."""


def driver() -> Driver | None:
    """The driver, or None where there is none."""
    version = _kernel_module()
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return Driver(version, 0, (), f"{LIBRARY} does not load: {error}") if version else None
    cuda = ctypes.c_int()
    try:
        _call(library, "cuDriverGetVersion", ctypes.byref(cuda))
        return Driver(version, cuda.value, _gpus(library))
    except _Refused as error:
        return Driver(version, cuda.value, (), str(error))


def _kernel_module() -> str:
    try:
        text = KERNEL_MODULE.read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return found[1] if found else ""


def _gpus(library: ctypes.CDLL) -> tuple[Gpu, ...]:
    count, device, major, minor = (ctypes.c_int() for _ in range(4))
    memory, name = ctypes.c_size_t(), ctypes.create_string_buffer(256)
    _call(library, "cuInit", 0)
    _call(library, "cuDeviceGetCount", ctypes.byref(count))
    found = []
    for i in range(count.value):
        _call(library, "cuDeviceGet", ctypes.byref(device), i)
        _call(library, "cuDeviceGetName", name, len(name), device)
        _call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        _call(library, "cuDeviceGetAttribute", ctypes.byref(major), MAJOR, device)
        _call(library, "cuDeviceGetAttribute", ctypes.byref(minor), MINOR, device)
        found.append(Gpu(name.value.decode(), memory.value, f"{major.value}.{minor.value}"))
    return tuple(found)


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    status = getattr(library, name)(*arguments)
    if status:
        words = ctypes.c_char_p()
        library.cuGetErrorName(status, ctypes.byref(words))
        raise _Refused(f"{name}: {(words.value or str(status).encode()).decode()}")
