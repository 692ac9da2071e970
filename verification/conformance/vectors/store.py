"""The files: one uncompressed .npz per stage and one manifest.json, every byte accounted for.

The manifest holds the facts of every vector, a SHA-256 of every array and of every file, and one of itself.
Members of the .npz are ``<id>/<group>/<name>.npy``, in the order of the manifest, with fixed dates: equal
vectors
give equal bytes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import S5Error
from s5ref.verification.conformance.vectors.vector import Vector, vector

FOLDER = Path(__file__).parent
MANIFEST = "manifest.json"
FORMAT, VERSION = "s5ref-vectors", 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REMEDY = (
    "Install s5ref again, or regenerate them: python -m s5ref.verification.conformance.vectors.generate."
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(vectors: Iterable[Vector]) -> dict[str, bytes]:
    """{file name: content} of a set of vectors."""
    entries: list[dict[str, Any]] = []
    members: dict[str, list[tuple[str, bytes]]] = {}
    for v in vectors:
        hashes: dict[str, str] = {}
        for name, x in v.arrays.items():
            data = _npy(x)
            members.setdefault(f"{v.case.stage}.npz", []).append((f"{v.id}/{name}.npy", data))
            hashes[name] = sha(data)
        entries.append(v.facts | {"arrays": hashes})
    files = {name: _zip(content) for name, content in members.items()}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "files": {name: sha(data) for name, data in files.items()},
        "vectors": entries,
    }
    return {MANIFEST: _sealed(manifest), **files}


def _npy(x: Array) -> bytes:
    buffer = io.BytesIO()
    little = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<")).reshape(x.shape)
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _zip(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            archive.writestr(info, data)
    return buffer.getvalue()


def _sealed(manifest: Mapping[str, Any]) -> bytes:
    """One line per vector, and last the SHA-256 of all before it."""
    lines = [_line(entry) for entry in manifest["vectors"]]
    head = {name: value for name, value in manifest.items() if name != "vectors"}
    body = _line(head)[:-1] + ', "vectors": [\n' + ",\n".join(lines) + "\n]"
    return (body + f', "sha256": "{sha(body.encode())}"}}\n').encode()


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def manifest(folder: Path = FOLDER) -> dict[str, Any]:
    """The manifest, checked against its own SHA-256; S5Error naming it otherwise."""
    text = _read(folder / MANIFEST)
    body, mark, seal = text.rpartition(b', "sha256": "')
    if not mark or seal != f'{sha(body)}"}}\n'.encode():
        raise S5Error(f"The vectors' {folder / MANIFEST} is damaged: its SHA-256 does not match.", _REMEDY)
    found: dict[str, Any] = json.loads(text)
    if found["format"] != FORMAT or found["version"] != VERSION:
        raise S5Error(
            f"{folder / MANIFEST} must be {FORMAT} {VERSION}; got {found['format']} {found['version']}.",
            "Read it with the version of s5ref that wrote it.",
        )
    return found


def load(pattern: str | None = None, folder: Path = FOLDER) -> list[Vector]:
    """The vectors whose id matches ``pattern`` (``*``, ``?`` and a bare part of an id), all if None, in
    order.

    Raises S5Error for a pattern that matches nothing, and naming the file and array where a byte is not
    as the
    manifest says.
    """
    found = manifest(folder)
    chosen = [entry for entry in found["vectors"] if pattern is None or matches(entry["id"], pattern)]
    if not chosen:
        raise S5Error(
            f"vectors: no id matches {pattern!r}.", "Ids look like scan/reverse/L9/P3/f32; * stands for any."
        )
    vectors: list[Vector] = []
    for stage in dict.fromkeys(entry["stage"] for entry in chosen):
        name = f"{stage}.npz"
        data = _read(folder / name)
        entries = [entry for entry in chosen if entry["stage"] == stage]
        if sha(data) != found["files"].get(name):
            every = [entry for entry in found["vectors"] if entry["stage"] == stage]
            raise S5Error(f"The vectors' {folder / name} is damaged: {_damage(data, every)}.", _REMEDY)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            vectors += [vector(entry, _arrays(archive, entry)) for entry in entries]
    return vectors


def matches(id_: str, pattern: str) -> bool:
    """Whether an id is meant by a pattern: whole with ``*`` and ``?``, else by any part of it."""
    return fnmatch.fnmatchcase(id_, pattern) if set(pattern) & set("*?[") else pattern in id_


def _arrays(archive: zipfile.ZipFile, entry: Mapping[str, Any]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, digest in entry["arrays"].items():
        data = archive.read(f"{entry['id']}/{name}.npy")
        if sha(data) != digest:
            raise S5Error(f"vectors: {entry['id']}/{name} does not match its SHA-256.", _REMEDY)
        found[name] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return found


def _damage(data: bytes, entries: list[Mapping[str, Any]]) -> str:
    """The first array that is not as it was."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in entries:
                for name, digest in entry["arrays"].items():
                    try:
                        content = archive.read(f"{entry['id']}/{name}.npy")
                    except Exception:  # zipfile raises many kinds on foreign bytes
                        return f"{entry['id']}/{name} cannot be read"
                    if sha(content) != digest:
                        return f"{entry['id']}/{name} does not match its SHA-256"
    except Exception as error:
        return f"it is not readable as a zip ({error})"
    return "its SHA-256 does not match, outside its arrays"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise S5Error(f"The vectors' {path} cannot be read: {error.strerror}.", _REMEDY) from error
