"""Messages between the kit and the process that holds a candidate: trees of arrays and plain values as bytes.

A frame is two little-endian 64-bit lengths, a JSON skeleton of the first length, and the arrays' bytes of the
second. Nothing that is read can run code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

_LENGTHS = struct.Struct("<QQ")


def encode(message: Any) -> bytes:
    """The frame of a tree of dicts, lists, tuples (which become lists), arrays, and plain values."""
    buffers: list[bytes] = []

    def skeleton(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            array = np.ascontiguousarray(value).reshape(np.shape(value))
            buffers.append(array.tobytes())
            return {"array": [array.dtype.str, list(array.shape)]}
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
            dtype, shape = np.dtype(content[0]), tuple(content[1])
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
            offset += array.nbytes
            return array
        if kind == "dict":
            return {key: value(child) for key, child in content.items()}
        return [value(child) for child in content] if kind == "list" else content

    return value(json.loads(head))


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
