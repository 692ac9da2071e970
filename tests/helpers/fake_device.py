"""A stand-in for a device array: NumPy's dispatch protocols as CuPy has them, and its refusals.

It never becomes a host array by itself, never meets one in an operation, and has no truth value, no float,
no iteration: each of these would be a hidden transfer. ``get`` is the one way back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from s5ref.tree import leaves, map_leaves


class HiddenTransfer(TypeError):
    """Something tried to read a device array on the host, or to mix the two."""


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the device. ``called`` counts the functions that were asked of it.

    While ``tape`` is a list, every operation leaves there what repeats it, into the same memory: what a graph
    records.
    """

    called: ClassVar[Counter[str]] = Counter()
    tape: ClassVar[list[Callable[[], Any]] | None] = None
    __slots__ = ("_host",)

    def __init__(self, host: Any) -> None:
        self._host = np.asarray(host)

    def get(self) -> np.ndarray[Any, Any]:
        """A copy on the host: the only transfer there is."""
        if DeviceArray.tape is not None:
            raise HiddenTransfer("a transfer while a graph is recorded")
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
    flags = property(lambda self: self._host.flags)
    nbytes = property(lambda self: self._host.nbytes)
    base = property(lambda self: None if self._host.base is None else DeviceArray(self._host.base))
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: DeviceArray(self._host.T))
    real = property(lambda self: DeviceArray(self._host.real))
    imag = property(lambda self: DeviceArray(self._host.imag))

    def __len__(self) -> int:
        return len(self._host)

    def __getitem__(self, key: Any) -> DeviceArray:
        return self._made(lambda: self._host[_inside(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        def write() -> None:
            self._host[_inside(key)] = _inside(value)

        noted(write)

    def reshape(self, *shape: Any) -> DeviceArray:
        return self._made(lambda: self._host.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        return self._made(lambda: self._host.astype(dtype, copy=copy))

    def view(self, dtype: Any) -> DeviceArray:
        return self._made(lambda: self._host.view(dtype))

    def copy(self) -> DeviceArray:
        return self._made(lambda: self._host.copy())

    def _made(self, make: Callable[[], Any]) -> DeviceArray:
        """What an expression of this array gives: a view of its memory, or a copy."""
        made = DeviceArray(make())
        if DeviceArray.tape is not None and not np.shares_memory(made._host, self._host):
            DeviceArray.tape.append(lambda: np.copyto(made._host, make()))
        return made

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        DeviceArray.called[ufunc.__name__] += 1
        given = tuple(map(_inside, inputs)), _inside(kwargs)
        if "out" in kwargs:
            noted(lambda: getattr(ufunc, method)(*given[0], **given[1]))
            return kwargs["out"][0]
        return _results(lambda: getattr(ufunc, method)(*given[0], **given[1]), given[0])

    def __array_function__(self, fn: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, np.ndarray) for t in types):
            raise HiddenTransfer(f"{fn.__name__}: host and device arrays mixed")
        DeviceArray.called[fn.__name__] += 1
        if DeviceArray.tape is not None and fn in (np.concatenate, np.stack) and len(args[0]) > 8:
            raise HiddenTransfer(
                f"{fn.__name__} of more than 8 arrays: CuPy sends their addresses to the device"
            )
        if fn is np.asarray:  # with like=: the one way from the host to the device
            if DeviceArray.tape is not None:
                raise HiddenTransfer("a transfer while a graph is recorded")
            return DeviceArray(np.asarray(getattr(args[0], "_host", args[0]), *args[1:], **kwargs))
        given = _inside(args), _inside(kwargs)
        return _results(lambda: fn(*given[0], **given[1]), given[0])


def noted(operation: Callable[[], Any]) -> None:
    """Carried out now, and again whenever what is being recorded is replayed."""
    operation()
    if DeviceArray.tape is not None:
        DeviceArray.tape.append(operation)


def _results(make: Callable[[], Any], inputs: Any) -> Any:
    """The results of an operation on the device; the memory of those that are no views is filled again by a
    replay.
    """
    result = _outside(make())
    if DeviceArray.tape is not None:
        given = [leaf for _, leaf in leaves(inputs) if isinstance(leaf, np.ndarray)]
        mine = [leaf for _, leaf in leaves(result) if isinstance(leaf, DeviceArray)]
        if not any(np.may_share_memory(one._host, x) for one in mine for x in given):

            def again() -> None:
                for one, (_, new) in zip(mine, leaves(make()), strict=True):
                    np.copyto(one._host, new)

            DeviceArray.tape.append(again)
    return result


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
