"""A torch state dict out of a ``.pt`` file, without torch and without running what the file says.

The file is a zip: ``*/data.pkl``, a pickle in which each tensor names a storage, and ``*/data/N``, the
storages. A pickle is a program for a stack machine. The machine here knows the opcodes that a state dict
needs; what it makes are dicts, lists, tuples, plain values and tensors, and it refuses everything else by
name. It never imports or calls what a file names.
"""

from __future__ import annotations

import math
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.files import parsing
from s5ref.interop.flax import bfloat16
from s5ref.npz import GROWTH, Archive

STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "<c8", "ComplexDoubleStorage": "<c16", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
INSIDE = ("state_dict", "model_state_dict", "model")  # where a checkpoint may keep it
_DICT, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_NAMES = {_DICT, _TENSOR, _PARAMETER, *(f"torch {name}" for name in STORAGES)}
_REMEDY = "Save it with torch.save(model.state_dict(), path)."


def loads(data: bytes, where: str = "pt") -> dict[str, Array]:
    """Name → array of a file of ``torch.save(model.state_dict(), path)``.

    Raises
    ------
    DataError
        If it is damaged, holds anything but names and tensors, or tensors much larger than the file.
    """
    with parsing(f"{where} is not a state dict in torch's zip format", _REMEDY):
        archive = Archive(data, f"{where} is not in torch's zip format", _REMEDY)
        state = _Machine(archive, where, GROWTH * len(data)).run()
    if isinstance(state, Mapping):
        state = next((state[key] for key in INSIDE if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise DataError(f"{where} must hold a state dict: names and tensors only.", _REMEDY)
    return {str(name): value for name, value in state.items()}


class _Name(NamedTuple):
    """One of the names that a file may refer to."""

    text: str


class _Storage(NamedTuple):
    dtype: str
    data: bytes
    size: int


class _Machine:
    """``limit``: the bytes that all tensors together may take."""

    def __init__(self, archive: Archive, where: str, limit: int) -> None:
        pickles = [name for name in archive.names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DataError(f"{where} holds no data.pkl, so torch did not write it.", _REMEDY)
        self.root = pickles[0].removesuffix("data.pkl")
        self.archive, self.where, self.bytes_left = archive, where, limit
        order = self.root + "byteorder"
        if order in archive.names and archive.read(order) != b"little":
            raise DataError(
                f"{where} was written on a big-endian machine.", "Save it on a little-endian one."
            )
        self.pickled = archive.read(pickles[0])
        self.stored: dict[str, bytes] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle leaves at its end."""
        for opcode, value, _ in pickletools.genops(self.pickled):
            self._step(opcode.name, value)
        return self.stack.pop()

    def _step(self, opcode: str, value: Any) -> None:
        stack = self.stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(value)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode]())
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._popped(int(opcode[-1]))))
            case "APPEND" | "APPENDS":
                items = self._since_mark() if opcode == "APPENDS" else self._popped(1)
                self._target(opcode, list).extend(items)
            case "SETITEM" | "SETITEMS":
                self._set_items(opcode, self._since_mark() if opcode == "SETITEMS" else self._popped(2))
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self.memo[len(self.memo) if value is None else value] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[value])
            case "GLOBAL":
                stack.append(self._name(value))
            case "STACK_GLOBAL":
                stack.append(self._name(" ".join(self._popped(2))))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE":
                stack.append(self._reduce(*self._popped(2)))
            case "BUILD":  # the _metadata of a state dict
                stack.pop()
                self._target(opcode, OrderedDict)
            case _:
                raise DataError(f"{self.where}: a state dict has no use for the opcode {opcode}.", _REMEDY)

    def _popped(self, n: int) -> list[Any]:
        items = self.stack[-n:]
        if len(items) < n:
            raise DataError(f"{self.where}: its pickle takes more than it has put.", _REMEDY)
        del self.stack[-n:]
        return items

    def _since_mark(self) -> list[Any]:
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def _target(self, opcode: str, kind: type) -> Any:
        """The top of the stack, which ``opcode`` changes."""
        if not isinstance(self.stack[-1], kind):
            got = type(self.stack[-1]).__name__.lstrip("_")
            raise DataError(
                f"{self.where}: the opcode {opcode} must meet a {kind.__name__}; got a {got}.", _REMEDY
            )
        return self.stack[-1]

    def _set_items(self, opcode: str, items: list[Any]) -> None:
        target = self._target(opcode, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise DataError(
                    f"{self.where}: keys must be names or numbers; got a {type(key).__name__}.", _REMEDY
                )
            target[key] = value

    def _name(self, text: str) -> _Name:
        if text not in _NAMES:
            shown = text.replace(" ", ".")[:80]
            raise DataError(f"{self.where} holds an object of {shown}, not tensors only.", _REMEDY)
        return _Name(text)

    def _reduce(self, function: Any, arguments: Any) -> Any:
        match function, arguments:
            case _Name(text), () if text == _DICT:
                return OrderedDict()
            case _Name(text), (np.ndarray() as x, *_) if text == _PARAMETER:
                return x
            case _Name(text), (_Storage() as storage, int(), tuple(), tuple(), *_) if text == _TENSOR:
                return self._tensor(storage, *arguments[1:])
        called = function.text.replace(" ", ".") if isinstance(function, _Name) else type(function).__name__
        raise DataError(f"{self.where}: the opcode REDUCE calls {called} with other arguments.", _REMEDY)

    def _storage(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _Name(text), str(key), _, int(size)) if text.startswith("torch "):
                pass
            case _:
                raise DataError(f"{self.where} refers to something else than a storage of torch.", _REMEDY)
        if key not in self.stored:
            self.stored[key] = self.archive.read(f"{self.root}data/{key}")
        dtype, data = STORAGES[text.removeprefix("torch ")], self.stored[key]
        held = len(data) / _kind(dtype).itemsize
        if held != size:
            raise DataError(
                f"{self.where} is damaged: storage {key} holds {held:g} numbers of {size}.", _REMEDY
            )
        return _Storage(dtype, data, size)

    def _tensor(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
    ) -> Array:
        """The strided view of ``storage``, copied. rest: requires_grad, hooks, the bits {"conj", "neg"}."""
        numbers = [offset, *size, *stride]
        fits = len(size) == len(stride) <= 64
        if not fits or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise DataError(
                f"{self.where}: a tensor must have as many sizes as strides, all integers and at least 0.",
                _REMEDY,
            )
        kind = _kind(storage.dtype)
        self.bytes_left -= math.prod(size) * kind.itemsize
        if self.bytes_left < 0:
            raise DataError(
                f"{self.where}: its tensors must take at most {GROWTH} times the length of the file; "
                f"with one of shape {size} they take more.",
                "Save copies in place of expanded tensors: {n: x.clone() for n, x in state.items()}.",
            )
        steps = [step * kind.itemsize for step in stride]
        try:
            x: Array = np.ndarray(size, kind, storage.data, offset * kind.itemsize, steps)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"A tensor of shape {size} does not fit its storage of {storage.size} numbers.", _REMEDY
            ) from error
        x = bfloat16(x) if storage.dtype == "bfloat16" else x.astype(kind.newbyteorder("="))
        bits = rest[2] if len(rest) > 2 and isinstance(rest[2], dict) else {}
        if bits.get("conj"):
            x = np.conj(x)
        return np.asarray(-x if bits.get("neg") else x)


def _kind(dtype: str) -> np.dtype[Any]:
    return np.dtype("<u2" if dtype == "bfloat16" else dtype)
