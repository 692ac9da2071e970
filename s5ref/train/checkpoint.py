"""A checkpoint is one file: arrays, facts, and a SHA-256 per array, replaced whole by one rename.

The file is an uncompressed zip of ``.npy`` members (so ``np.load`` reads it) and a member ``manifest.json``:
``{"format": "s5ref-checkpoint", "version": 1, "meta": {…}, "arrays": {name: {"dtype", "shape", "sha256"}}}``.
The zip's comment is the SHA-256 of every byte before it, so that a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array, Leaves, check_portable
from s5ref.errors import DataError
from s5ref.files import parsing, write_atomically
from s5ref.npz import Archive, dumps, dumps_array, loads_array

FORMAT, VERSION, MANIFEST = "s5ref-checkpoint", 1, "manifest.json"
_DIGEST = 64  # characters of a SHA-256
_REMEDY = "Take the other one of last/ and best/ if that is enough, or train again."


def save(path: str | Path, arrays: Leaves, meta: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    path : path
    arrays : mapping of names to arrays
        Real, complex, integer or boolean, of any shape and memory order.
    meta : mapping
        Facts that JSON can hold.

    Raises
    ------
    ShapeError
        On a dtype without a portable form, such as longdouble.
    """
    write_atomically(path, to_bytes(arrays, meta))


def to_bytes(arrays: Leaves, meta: Mapping[str, Any]) -> bytes:
    """What `save` writes."""
    entries: dict[str, dict[str, Any]] = {}
    members: dict[str, bytes] = {}
    for name, value in arrays.items():
        x = check_portable("checkpoint", name, np.asarray(value))
        data = members[name + ".npy"] = dumps_array(x)
        entries[name] = {"dtype": x.dtype.str, "shape": list(x.shape), "sha256": _sha256(data)}
    manifest = {"format": FORMAT, "version": VERSION, "meta": dict(meta), "arrays": entries}
    members[MANIFEST] = json.dumps(manifest, ensure_ascii=False, allow_nan=False).encode()
    whole = dumps(members, comment=b"0" * _DIGEST)[:-_DIGEST]
    return whole + _sha256(whole).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def load(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a checkpoint, every byte verified.

    Returns
    -------
    arrays, meta : dict
        As `save` was given them, bit for bit.

    Raises
    ------
    DataError
        Naming file and array: missing, damaged, or of another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", "Check the run folder."
        ) from error
    return from_bytes(data, path)


def from_bytes(data: bytes, path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The inverse of `to_bytes`; ``path`` is for messages."""
    with parsing(f"The checkpoint {path} is not readable", _REMEDY):
        arrays, meta = _read(Archive(data, f"The checkpoint {path}", _REMEDY), path)
    if _sha256(data[:-_DIGEST]).encode() != data[-_DIGEST:]:
        raise _damaged(path, "its SHA-256 does not match, though those of its arrays do.")
    return arrays, meta


def _damaged(path: str | Path, what: str) -> DataError:
    return DataError(f"The checkpoint {path} is damaged: {what}", _REMEDY)


def _read(archive: Archive, path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    if MANIFEST not in archive.names:
        raise DataError(f"{path} holds no {MANIFEST}, so it is not a checkpoint of s5ref.", _REMEDY)
    manifest = json.loads(archive.read(MANIFEST))
    if manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        raise DataError(
            f"{path} must be of the format {FORMAT} {VERSION}; "
            f"got {manifest.get('format')} {manifest.get('version')}.",
            "Read it with the version of s5ref that wrote it.",
        )
    members = {name + ".npy" for name in manifest["arrays"]} | {MANIFEST}
    if extra := sorted(set(archive.names) ^ members):
        raise DataError(f"The checkpoint {path} lacks, or has too much, the member {extra[0]}.", _REMEDY)
    arrays: dict[str, Array] = {}
    for name, entry in manifest["arrays"].items():
        data = archive.read(name + ".npy")
        if _sha256(data) != entry["sha256"]:
            raise _damaged(path, f"{name} does not match its SHA-256.")
        x = loads_array(data, f"The checkpoint {path}: {name}", _REMEDY)
        if x.dtype.str != entry["dtype"] or list(x.shape) != entry["shape"]:
            want = f"{entry['dtype']} {entry['shape']}"
            raise _damaged(path, f"{name} must be {want}; got {x.dtype.str} {list(x.shape)}.")
        arrays[name] = x
    meta: dict[str, Any] = manifest["meta"]
    return arrays, meta
