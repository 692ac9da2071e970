"""A stand-in for a device array: NumPy's dispatch protocols as CuPy has them, and its refusals.

It never becomes a host array by itself, never meets one in an operation, and has no truth value, no float,
no iteration: each of these would be a hidden transfer. ``get`` is the one way back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from s5ref.tree import map_leaves


class HiddenTransfer(TypeError):
    """Something tried to read a device array on the host, or to mix the two."""


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the device. ``called`` counts the functions that were asked of it."""

    called: ClassVar[Counter[str]] = Counter()
    __slots__ = ("_host",)

    def __init__(self, host: Any) -> None:
        self._host = np.asarray(host)

    def get(self) -> np.ndarray[Any, Any]:
        """A copy on the host: the only transfer there is."""
        return self._host.copy()

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise HiddenTransfer("a device array was read on the host")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __complex__ = __iter__ = __contains__ = item = (
        tolist
    ) = _refuse
    __hash__ = None  # type: ignore[assignment]

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    T = property(lambda self: DeviceArray(self._host.T))
    real = property(lambda self: DeviceArray(self._host.real))
    imag = property(lambda self: DeviceArray(self._host.imag))

    def __len__(self) -> int:
        return len(self._host)

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self._host[_inside(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_inside(key)] = _inside(value)

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self._host.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        return DeviceArray(self._host.astype(dtype, copy=copy))

    def view(self, dtype: Any) -> DeviceArray:
        return DeviceArray(self._host.view(dtype))

    def copy(self) -> DeviceArray:
        return DeviceArray(self._host.copy())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        DeviceArray.called[ufunc.__name__] += 1
        result = getattr(ufunc, method)(*map(_inside, inputs), **_inside(kwargs))
        return kwargs["out"][0] if "out" in kwargs else _outside(result)

    def __array_function__(self, fn: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, np.ndarray) for t in types):
            raise HiddenTransfer(f"{fn.__name__}: host and device arrays mixed")
        DeviceArray.called[fn.__name__] += 1
        if fn is np.asarray:  # with like=: the one way from the host to the device
            return DeviceArray(np.asarray(getattr(args[0], "_host", args[0]), *args[1:], **kwargs))
        return _outside(fn(*_inside(args), **_inside(kwargs)))


def _inside(x: Any) -> Any:
    if isinstance(x, DeviceArray):
        return x._host
    if isinstance(x, tuple | list):
        return type(x)(_inside(v) for v in x)
    if isinstance(x, dict):
        return {name: _inside(v) for name, v in x.items()}
    if isinstance(x, np.ndarray) and x.ndim:
        raise HiddenTransfer("a host array reached an operation of the device")
    return x


def _outside(x: Any) -> Any:
    if isinstance(x, np.ndarray | np.generic):
        return DeviceArray(x)
    return type(x)(_outside(v) for v in x) if isinstance(x, tuple | list) else x


def to_device(tree: Any) -> Any:
    """The tree with every host array on the device."""
    return map_leaves(
        lambda leaf: DeviceArray(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf, tree
    )


def to_host(tree: Any) -> Any:
    """The tree with every device array on the host."""
    return map_leaves(lambda leaf: leaf.get() if isinstance(leaf, DeviceArray) else leaf, tree)
