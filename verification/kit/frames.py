"""Messages between the kit and the process that holds a candidate: trees of arrays and plain values as bytes.

A frame is two little-endian 64-bit lengths, a JSON skeleton of the first length, and the arrays' bytes of the
second. A strided array arrives with its strides. Nothing that is read can run code.
"""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from s5ref.arrays import Array

_LENGTHS = struct.Struct("<QQ")


def encode(message: Any) -> bytes:
    """The frame of a tree of dicts, lists, tuples (which become lists), arrays, and plain values."""
    buffers: list[bytes] = []

    def skeleton(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            memory, start, strides = laid_out(np.asarray(value))
            buffers.append(memory)
            return {"array": [value.dtype.str, list(value.shape), len(memory), start, list(strides)]}
        if isinstance(value, Mapping):
            return {"dict": {str(key): skeleton(child) for key, child in value.items()}}
        if isinstance(value, list | tuple):
            return {"list": [skeleton(child) for child in value]}
        return {"value": value}

    head = json.dumps(skeleton(message)).encode()
    body = b"".join(buffers)
    return _LENGTHS.pack(len(head), len(body)) + head + body


def decode(head: bytes, body: bytes) -> Any:
    """The tree of a frame."""
    offset = 0

    def value(node: Any) -> Any:
        nonlocal offset
        [(kind, content)] = node.items()
        if kind == "array":
            dtype, shape, size, start, strides = content
            memory = bytearray(memoryview(body)[offset : offset + size])
            offset += size
            return np.ndarray(shape, np.dtype(dtype), memory, start, strides)
        if kind == "dict":
            return {key: value(child) for key, child in content.items()}
        return [value(child) for child in content] if kind == "list" else content

    return value(json.loads(head))


def laid_out(array: Array) -> tuple[bytes, int, tuple[int, ...]]:
    """(the memory that the array lies in, where it begins there, its strides)."""
    if array.flags.c_contiguous or not array.size:
        return array.tobytes(), 0, np.empty(array.shape, array.dtype).strides
    reach = [stride * (n - 1) for stride, n in zip(array.strides, array.shape, strict=True)]
    start, end = -sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + array.itemsize
    low = array.__array_interface__["data"][0] - start
    return ctypes.string_at(low, start + end), start, array.strides


def write(stream: IO[bytes], message: Any) -> None:
    stream.write(encode(message))
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """The next message; EOFError if the other end is gone."""
    head, body = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    return decode(_exactly(stream, head), _exactly(stream, body))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            raise EOFError("the other end closed the pipe")
        data += more
    return bytes(data)
