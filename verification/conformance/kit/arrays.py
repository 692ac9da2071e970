"""Arrays of any framework to NumPy and back: by DLPack or ``__array__``, host memory only."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from s5ref.arrays import Array
from s5ref.tree import map_leaves

FRAMEWORKS = {  # and what makes an array of NumPy's one of theirs
    "numpy": ("numpy", "asarray"), "torch": ("torch", "from_numpy"), "jax": ("jax", "device_put"),
}  # fmt: skip
_ON_HOST = (1, 3, 11)  # DLPack: CPU, pinned by CUDA, pinned by ROCm
_PLAIN = (str, bytes, bool, int, float, complex)


class Foreign(Exception):
    """An array that is not readable here; the message says why."""


def framework_of(candidate: Any) -> str:
    """What a candidate computes with: its attribute ``framework``, or else what its module imports."""
    stated = getattr(candidate, "framework", None)
    if stated is not None:
        if stated not in FRAMEWORKS:
            raise ValueError(f"framework must be one of {', '.join(FRAMEWORKS)}; got {stated!r}")
        return str(stated)
    owner = candidate if isinstance(candidate, ModuleType) else sys.modules.get(type(candidate).__module__)
    modules = [value for value in vars(owner).values() if isinstance(value, ModuleType)] if owner else []
    imported = {module.__name__.partition(".")[0] for module in modules}
    return next((name for name in ("jax", "torch") if name in imported), "numpy")


def given_to(framework: str, tree: Any) -> Any:
    """The tree with every NumPy array as an array of ``framework``; anything else stays."""
    module, function = FRAMEWORKS[framework]
    convert = getattr(importlib.import_module(module), function)
    return map_leaves(
        lambda leaf: convert(_copy(leaf)) if isinstance(leaf, np.ndarray | np.generic) else leaf, tree
    )


def _copy(x: Any) -> Array:
    """A copy with the same strides."""
    return np.array(x) if x.flags.c_contiguous else unpacked(packed(x))


def packed(x: Any) -> Any:
    """A strided array as the memory that it lies in, where it begins there, and its strides; else itself."""
    if not isinstance(x, np.ndarray) or x.flags.c_contiguous or not x.size:
        return x
    low, high = byte_bounds(x)
    memory = np.frombuffer(ctypes.string_at(low, high - low), np.uint8)
    offset = x.__array_interface__["data"][0] - low
    return {
        "dtype": x.dtype.str, "shape": x.shape, "offset": offset, "strides": x.strides, "memory": memory,
    }  # fmt: skip


def unpacked(x: Any) -> Any:
    """The inverse of `packed`."""
    if not isinstance(x, Mapping):
        return x
    return np.ndarray(x["shape"], x["dtype"], bytearray(x["memory"].tobytes()), x["offset"], x["strides"])


def taken_from(tree: Any) -> Any:
    """The tree with every array as NumPy's; `Foreign` naming the path of one that cannot be read here."""
    return map_leaves(to_numpy, tree)


def to_numpy(value: Any) -> Any:
    """A NumPy array (a copy), or the value itself if it is plain."""
    if value is None or isinstance(value, _PLAIN):
        return np.asarray(value) if isinstance(value, float | complex) else value
    if isinstance(value, np.ndarray | np.generic):
        return np.array(value)
    device = _device(value)
    if device != "cpu":
        raise Foreign(f"an array on another device: {device} (return it on the CPU)")
    for method in ("detach", "resolve_conj", "resolve_neg"):  # torch: what DLPack refuses to export
        value = getattr(value, method, lambda value=value: value)()
    array = _exported(value)
    if array.dtype.kind == "O":
        raise Foreign(f"a {type(value).__name__} instead of an array")
    return array


def _exported(value: Any) -> Array:
    if hasattr(value, "__dlpack__"):
        try:
            return np.array(np.from_dlpack(value))
        except (BufferError, RuntimeError, TypeError, ValueError):
            pass  # a dtype that DLPack or NumPy lacks: let __array__ try
    try:
        return np.array(value)
    except Exception as error:
        raise Foreign(f"a {type(value).__name__} that NumPy cannot read ({error})") from error


def _device(value: Any) -> str:
    try:
        kind = int(value.__dlpack_device__()[0])
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):
        stated = str(getattr(value, "device", "cpu"))
        return "cpu" if "cpu" in stated.lower() else stated
    if kind in _ON_HOST:
        return "cpu"
    named = getattr(value, "device", None)
    return f"DLPack device {kind}" if named is None else str(named)
