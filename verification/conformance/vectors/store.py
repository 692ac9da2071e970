"""The files: one uncompressed .npz per stage and one manifest.json, every byte accounted for.

The manifest holds the facts of every vector, a SHA-256 of every array and of every file, and one of itself.
Members of the .npz are ``<id>/<group>/<name>.npy``, in the order of the manifest, with fixed dates: equal
vectors give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError, S5Error
from s5ref.npz import Archive, dumps, dumps_array, loads_array
from s5ref.verification.conformance.stages.stage import matches
from s5ref.verification.conformance.vectors.vector import Vector, vector

FOLDER = Path(__file__).parent
MANIFEST = "manifest.json"
FORMAT, VERSION = "s5ref-vectors", 1
_REMEDY = (
    "Install s5ref again, or regenerate them: python -P -m s5ref.verification.conformance.vectors.generate."
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(vectors: Iterable[Vector]) -> dict[str, bytes]:
    """{file name: content} of a set of vectors."""
    entries: list[dict[str, Any]] = []
    members: dict[str, dict[str, bytes]] = {}
    for v in vectors:
        hashes: dict[str, str] = {}
        for name, x in v.arrays.items():
            little = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<")).reshape(x.shape)
            data = dumps_array(little)
            members.setdefault(f"{v.case.stage}.npz", {})[f"{v.id}/{name}.npy"] = data
            hashes[name] = sha(data)
        entries.append(v.facts | {"arrays": hashes})
    files = {name: dumps(content) for name, content in members.items()}
    head = {
        "format": FORMAT, "version": VERSION, "files": {name: sha(data) for name, data in files.items()},
    }  # fmt: skip
    return {MANIFEST: _sealed(head, entries), **files}


def _sealed(head: Mapping[str, Any], entries: Iterable[Any]) -> bytes:
    """The file, and last the SHA-256 of all before it."""
    body = listed(head, entries)
    return (body + f', "sha256": "{sha(body.encode())}"}}\n').encode()


def listed(head: Mapping[str, Any], entries: Iterable[Any]) -> str:
    """A JSON object of ``head`` and "vectors", one line per vector, without the brace that closes it."""
    first, *lines = (json.dumps(value, ensure_ascii=False, allow_nan=False) for value in (head, *entries))
    return first[:-1] + ', "vectors": [\n' + ",\n".join(lines) + "\n]"


def manifest(folder: Path = FOLDER) -> dict[str, Any]:
    """The manifest, checked against its own SHA-256; S5Error naming it otherwise."""
    text = _read(folder / MANIFEST)
    body, mark, seal = text.rpartition(b', "sha256": "')
    if not mark or seal != f'{sha(body)}"}}\n'.encode():
        raise S5Error(f"The vectors' {folder / MANIFEST} is damaged: its SHA-256 does not match.", _REMEDY)
    content: dict[str, Any] = json.loads(text)
    if content["format"] != FORMAT or content["version"] != VERSION:
        raise S5Error(
            f"{folder / MANIFEST} must be {FORMAT} {VERSION}; got {content['format']} {content['version']}.",
            "Read it with the version of s5ref that wrote it.",
        )
    return content


def load(pattern: str | None = None, folder: Path = FOLDER) -> list[Vector]:
    """The vectors whose id matches ``pattern`` (``*``, ``?`` and a bare part of an id), all if None, in
    order.

    Raises
    ------
    S5Error
        For a pattern that matches nothing, and naming the file and array where a byte is not as the manifest
        says.
    """
    content = manifest(folder)
    chosen = [entry for entry in content["vectors"] if pattern is None or matches(entry["id"], pattern)]
    if not chosen:
        raise S5Error(
            f"vectors: no id matches {pattern!r}.", "Ids look like scan/reverse/L9/P3/f32; * stands for any."
        )
    loaded: dict[str, Vector] = {}
    for stage in dict.fromkeys(entry["stage"] for entry in chosen):
        entries = [entry for entry in content["vectors"] if entry["stage"] == stage]
        loaded |= _stage(folder / f"{stage}.npz", entries, content["files"].get(f"{stage}.npz"))
    return [loaded[entry["id"]] for entry in chosen]


def _stage(path: Path, entries: Iterable[Mapping[str, Any]], digest: str | None) -> dict[str, Vector]:
    """The vectors of a file by id, every byte of it checked."""
    data = _read(path)
    archive = Archive(data, f"The vectors' {path}", _REMEDY)
    vectors = {entry["id"]: vector(entry, _groups(archive, entry)) for entry in entries}
    if sha(data) != digest:
        raise DataError(f"{archive.where}: its SHA-256 does not match, outside its arrays.", _REMEDY)
    return vectors


def _groups(archive: Archive, entry: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    groups: dict[str, dict[str, Array]] = {"in": {}, "d": {}, "want": {}, "bound": {}}
    for path, digest in entry["arrays"].items():
        member = f"{entry['id']}/{path}.npy"
        data, where = archive.read(member), f"{archive.where}: {member}"
        if sha(data) != digest:
            raise DataError(f"{where} does not match its SHA-256.", _REMEDY)
        group, _, name = path.partition("/")
        groups[group][name] = loads_array(data, where, _REMEDY)
    return groups


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise S5Error(f"The vectors' {path} cannot be read: {error.strerror}.", _REMEDY) from error
