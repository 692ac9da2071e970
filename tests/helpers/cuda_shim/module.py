"""What `cupy.RawModule` is to a GPU: compiled kernels by name, launched on NumPy arrays.

It is stricter than a GPU. An argument must have the very type of its parameter; an access behind an array is
an error, and so is a write before it, where a read finds NaNs.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import mmap
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.cache import cache_dir
from s5ref.machine import simd

HEADER = Path(__file__).with_name("cuda.h")
FLAGS = ("-std=c++17", "-O1", "-fno-strict-aliasing", "-fPIC", "-shared", "-w")
SANITIZERS: dict[str | None, tuple[str, ...]] = {
    None: (),
    "thread": ("-fsanitize=thread", "-g"),
    "address": (
        "-fsanitize=address,bounds,object-size,shift,signed-integer-overflow,alignment",
        "-fsanitize-sections=cuda_shared",
        "-fno-sanitize-recover",
        "-g",
    ),
}
GUARD = 4096  # bytes before every array, at least
KERNELS = re.compile(r"^KERNEL\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(", re.MULTILINE)


class LaunchError(RuntimeError):
    """A kernel did, or was given, what a GPU would not forgive."""


@functools.cache
def _folder() -> Path:
    """Compiled kernels, by the hash of everything that they were made from; kept between runs."""
    folder = cache_dir() / "cuda_shim"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def _fusing() -> tuple[str, ...]:
    """What lets the compiler fuse a product into a sum, as a GPU does, where the processor can."""
    return ("-mfma",) if "FMA3" in simd() else ()


@functools.cache
def _compiled(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    compiler = shutil.which("g++") or shutil.which("clang++") or "g++"
    text = "\n".join([code, *(f"SHIM_EXPORT({name})" for name in KERNELS.findall(code)), ""])
    own = ("-fno-gnu-unique",) if compiler.endswith("g++") and "clang" not in compiler else ()
    command = [compiler, *FLAGS, *own, *options, "-include", str(HEADER), "-x", "c++"]
    made_of = repr((text, HEADER.read_text(encoding="utf-8"), command, platform.machine()))
    library = _folder() / f"{hashlib.sha256(made_of.encode()).hexdigest()[:24]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as work:
            source, made = Path(work, "kernels.cu"), Path(work, "kernels.so")
            source.write_text(text, encoding="utf-8")
            done = subprocess.run(
                [*command, str(source), "-o", str(made)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise LaunchError(done.stderr)
            made.replace(library)
    return ctypes.CDLL(str(library))


class CpuModule:
    """Kernels compiled for the CPU, with a ``sanitizer`` if one is set. ``order``: of the threads in a block;
    0, 1 (backwards), 2 … (seeds).
    ``resident``: blocks that run at a time; when some still run after ``patience`` seconds, that is an error.
    """

    sanitizer: str | None = None

    def __init__(
        self, code: str, options: Sequence[str], order: int = 0, resident: int = 1, patience: float = 60
    ) -> None:
        given = [option for option in options if option.startswith("-D")]
        fuse = "off" if "--fmad=false" in options else "fast"
        self.library = _compiled(
            code, (*given, *_fusing(), f"-ffp-contract={fuse}", *SANITIZERS[self.sanitizer])
        )
        self.order = order
        self.resident = resident
        self.patience = patience

    def get_function(self, name: str) -> Callable[[tuple[int, ...], tuple[int, ...], Sequence[Any]], None]:
        """The kernel as (grid, block, arguments) → None, like cupy.RawModule's."""
        signature = getattr(self.library, f"shim_signature_{name}")
        signature.restype = ctypes.c_char_p
        parameters = signature().decode().split()
        launch = getattr(self.library, f"shim_launch_{name}")
        launch.restype = ctypes.c_char_p

        def kernel(grid: tuple[int, ...], block: tuple[int, ...], arguments: Sequence[Any]) -> None:
            if len(grid) != 1 or not 1 <= grid[0] < 2**31 or len(block) != 1 or not 1 <= block[0] <= 1024:
                raise LaunchError(f"{name}: grid {grid} of blocks {block}")
            if len(arguments) != len(parameters):
                raise LaunchError(f"{name}: {len(parameters)} parameters, {len(arguments)} arguments")
            guarded: dict[int, tuple[np.ndarray[Any, Any], _Guarded]] = {}
            values = []
            for i, (argument, parameter) in enumerate(zip(arguments, parameters, strict=True)):
                if parameter[0] in "*=":
                    values.append(_pointer(name, i, argument, parameter, guarded))
                else:
                    values.append(_scalar(name, i, argument, parameter))
            if self.sanitizer == "address":
                for _array, memory in guarded.values():
                    memory.hide()
            pointers = (ctypes.c_void_p * max(1, len(values)))(*(v.ctypes.data for v in values))
            error = launch(
                grid[0], block[0], pointers, self.order, self.resident, ctypes.c_double(self.patience)
            )
            if error:
                raise LaunchError(f"{name}: {error.decode()}")
            for array, memory in guarded.values():
                if self.sanitizer == "address":
                    memory.hide(False)
                memory.give_back(name, array)

        return kernel


class _Guarded:
    """A copy of an array that ends where memory ends. Before it lie signalling NaNs of its own, which no
    arithmetic preserves: a write there is seen afterwards.
    """

    def __init__(self, array: np.ndarray[Any, Any], number: int) -> None:
        size = array.real.itemsize
        bits = {4: 0x7FA00001, 8: 0x7FF4000000000001}.get(size, 0x7F) + number
        fill = np.array([bits]).astype(f"u{size}").view(np.uint8)
        end = -(-(GUARD + array.nbytes) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = np.frombuffer(mmap.mmap(-1, end + mmap.PAGESIZE), np.uint8)
        self.data = self.memory[end - array.nbytes : end]
        self.before = self.memory[: end - array.nbytes]
        self.guard = np.resize(fill, self.before.size)
        self.before[:] = self.guard
        self.data[:] = array.reshape(-1).view(np.uint8)
        _forbid(self.memory.ctypes.data + end)
        self.written = False

    def hide(self, hidden: bool = True) -> None:
        """While hidden, an access to what lies before the array is a report of AddressSanitizer."""
        change = getattr(ctypes.CDLL(None), f"__asan_{'' if hidden else 'un'}poison_memory_region")
        change(ctypes.c_void_p(self.before.ctypes.data), ctypes.c_size_t(self.before.size))

    def give_back(self, name: str, array: np.ndarray[Any, Any]) -> None:
        if not np.array_equal(self.before, self.guard):
            raise LaunchError(f"{name}: wrote before an array of shape {array.shape}")
        if self.written:
            array.reshape(-1).view(np.uint8)[:] = self.data


def _forbid(page: int) -> None:
    """No access to a page of memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")


def _pointer(
    name: str, i: int, array: Any, parameter: str, guarded: dict[int, tuple[np.ndarray[Any, Any], _Guarded]]
) -> np.ndarray[Any, Any]:
    if isinstance(array, np.uintp) and array == 0:
        return np.zeros(1, np.uintp)
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        raise LaunchError(f"{name}: argument {i} must be a contiguous array")
    if array.itemsize != int(parameter[1:]):
        raise LaunchError(f"{name}: argument {i} has items of {array.dtype}, the parameter is {parameter}")
    memory = guarded.setdefault(id(array), (array, _Guarded(array, i)))[1]
    memory.written |= parameter[0] == "*"
    return np.array([memory.data.ctypes.data], np.uintp)


def _scalar(name: str, i: int, value: Any, parameter: str) -> np.ndarray[Any, Any]:
    kind, size = parameter[0], int(parameter[1:])
    if not isinstance(value, np.generic) or value.dtype.kind != kind or value.dtype.itemsize != size:
        raise LaunchError(
            f"{name}: argument {i} is {value!r} ({type(value).__name__}), the parameter {parameter}"
        )
    return np.array([value])
