"""Flax variable trees in files: msgpack (the bytes of ``flax.serialization``) and npz, without jax or flax.

A tree is held flat: names joined by "/", values NumPy arrays. Source of the format: flax.serialization, whose
extension types are 1 (array), 2 (Python complex) and 3 (scalar); arrays above 2³⁰ bytes are stored in chunks.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from s5ref import npz
from s5ref.arrays import Array, Leaves, check_portable
from s5ref.errors import DataError, optional
from s5ref.files import parsing

ARRAY, COMPLEX, SCALAR = 1, 2, 3
CHUNK = 2**30  # bytes
_ITEMS = 4096  # of a list in a tree, for which msgpack allocates before it reads them
_LONGEST = 500  # characters of a path, which every leaf repeats
_CHUNKED = "__msgpack_chunked_array__"
_REMEDY = "Write it with flax.serialization.to_bytes(variables), and check that it was copied whole."


def msgpack_loads(data: bytes, where: str = "msgpack") -> dict[str, Array]:
    """Bytes of ``flax.serialization.to_bytes`` → flat arrays. bfloat16 is widened to float32, exactly.

    Raises
    ------
    DataError
        Where they are not, or are damaged.
    """
    msgpack = optional("msgpack", "interop")

    def extension(code: int, body: bytes) -> Any:
        if code == COMPLEX:
            return complex(*msgpack.unpackb(body))
        if code not in (ARRAY, SCALAR):
            raise DataError(f"{where} holds the unknown extension type {code}.", _REMEDY)
        shape, dtype, buffer = msgpack.unpackb(body, raw=True, max_array_len=_ITEMS)
        return _array(tuple(shape), dtype.decode(), buffer, where)

    with parsing(f"{where} is not readable as Flax msgpack", _REMEDY):
        tree = msgpack.unpackb(
            data, ext_hook=extension, raw=False, strict_map_key=False, max_array_len=_ITEMS
        )
        if not isinstance(tree, dict):
            raise DataError(
                f"{where} must hold a tree of named arrays; got a {type(tree).__name__}.", _REMEDY
            )
        return dict(_flat(tree, "", where))


def msgpack_dumps(flat: Leaves, chunk: int = CHUNK) -> bytes:
    """The bytes that ``flax.serialization.msgpack_serialize`` makes of the nested dict."""
    msgpack = optional("msgpack", "interop")

    def packed(x: Array) -> Any:
        body = msgpack.packb((x.shape, x.dtype.name, x.tobytes("C")), use_bin_type=True)
        return msgpack.ExtType(ARRAY, body)

    def leaf(value: Array) -> Any:
        x = check_portable("msgpack", "an array", np.asarray(value))
        x = x.astype(x.dtype.newbyteorder("<"), copy=False)
        if x.nbytes <= chunk:
            return packed(x)
        rows, step = x.reshape(-1), max(1, chunk // x.dtype.itemsize)
        pieces = [packed(rows[i : i + step]) for i in range(0, rows.size, step)]
        return {_CHUNKED: True, "shape": _numbered(x.shape), "chunks": _numbered(pieces)}

    names = sorted(flat, key=lambda name: name.split("/"))  # in jax's order
    tree = nested({name: leaf(flat[name]) for name in names})
    data: bytes = msgpack.packb(tree, use_bin_type=True)
    return data


def npz_loads(data: bytes, where: str = "npz") -> dict[str, Array]:
    """An npz whose names are paths.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    return npz.loads(data, where, "Write it with numpy.savez.", deflated=True)


def npz_dumps(flat: Leaves) -> bytes:
    """The inverse of `npz_loads`, the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in flat.items()})
    return buffer.getvalue()


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a/b": x}`` → ``{"a": {"b": x}}``."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def bfloat16(words: Array) -> Array:
    """The float32 numbers whose upper halves are ``words`` (uint16)."""
    return (words.astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)


def _flat(tree: Any, path: str, where: str) -> Iterator[tuple[str, Array]]:
    if len(path) > _LONGEST:
        raise DataError(f"{where}: a path must have at most {_LONGEST} characters.", _REMEDY)
    if isinstance(tree, list | tuple):
        tree = _numbered(tree)
    if isinstance(tree, dict) and _CHUNKED in tree:
        chunks = [tree["chunks"][str(i)] for i in range(len(tree["chunks"]))]
        shape = [int(tree["shape"][str(i)]) for i in range(len(tree["shape"]))]
        whole = np.concatenate(chunks)
        _check_size(whole.size, tuple(shape), f"{where}: {path}")
        yield path, whole.reshape(shape)
    elif isinstance(tree, dict):
        for name, child in tree.items():
            yield from _flat(child, f"{path}/{name}" if path else str(name), where)
    elif isinstance(tree, np.ndarray | np.generic | int | float | complex):
        yield path, np.asarray(tree)
    elif tree is not None:
        raise DataError(f"{where}: {path} must be an array; got a {type(tree).__name__}.", _REMEDY)


def _array(shape: tuple[int, ...], dtype: str, buffer: bytes, where: str) -> Array:
    if dtype == "bfloat16":
        words = np.frombuffer(buffer, "<u2")
        _check_size(words.size, shape, where)
        return bfloat16(words).reshape(shape)
    try:
        kind = np.dtype(dtype).newbyteorder("<")
    except TypeError:
        raise DataError(
            f"{where} holds an array of the unknown dtype {dtype}.", "Cast it to float32 first."
        ) from None
    if kind.kind not in "fciub":
        raise DataError(f"{where} holds an array of dtype {dtype}, which is not numeric.", _REMEDY)
    _check_size(len(buffer) / kind.itemsize, shape, where)
    return np.frombuffer(buffer, kind).reshape(shape).astype(kind.newbyteorder("="))


def _check_size(size: float, shape: tuple[int, ...], where: str) -> None:
    whole = len(shape) <= 64 and all(type(n) is int and n >= 0 for n in shape)
    if not whole or size != math.prod(shape):
        raise DataError(
            f"{where} is damaged: an array of shape {shape!s:.80} comes with {size:g} numbers.", _REMEDY
        )


def _numbered(items: Any) -> dict[str, Any]:
    return {str(i): item for i, item in enumerate(items)}
