"""The files of a generated ListOps: written whole or not at all, with a manifest that says what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from s5ref.data.listops_generator import Rows, examples, text
from s5ref.data.making import check_sizes
from s5ref.errors import DataError
from s5ref.files import new_folder, reading, write_atomically, writing

HEADER = b"Source\tTarget\r\n"
SPLITS = ("train", "val", "test")
SIZES = (96000, 2000, 2000)
MANIFEST = "manifest.json"
_VERSION = 1  # of the generator: other versions may give other files for the same seed


def make(
    out_dir: str | Path,
    seed: int = 0,
    sizes: tuple[int, int, int] = SIZES,
    workers: int | None = None,
    report: Callable[[str], None] | None = None,
) -> Path:
    """basic_{train,val,test}.tsv in the release's form and manifest.json, in ``out_dir``, by one rename.

    A folder that already holds the same data is verified and kept; one that holds anything else is refused.

    Raises
    ------
    ConfigError
        On an empty split.
    DataError
        If the folder holds anything else.
    """
    out = Path(out_dir)
    check_sizes("listops", sizes)
    made_by = f"s5ref {_VERSION}"
    facts = {"task": "listops", "generator": made_by, "seed": seed, "sizes": list(sizes)}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        _keep(out, facts)
        return out
    seen: set[bytes] = set()
    with new_folder(out) as folder:
        files = {}
        for split, count in zip(SPLITS, sizes, strict=True):
            path = folder / f"basic_{split}.tsv"
            chunks = examples(seed, split, count, seen, workers)
            files[path.name] = _write(path, chunks, count, report)
        manifest = json.dumps(facts | {"files": files}, indent=2) + "\n"
        write_atomically(folder / MANIFEST, manifest.encode())
    return out


def _write(
    path: Path, chunks: Iterable[Rows], count: int, report: Callable[[str], None] | None
) -> dict[str, Any]:
    """The file of the header and the chunks, and what the manifest says of it."""
    digest = hashlib.sha256(HEADER)
    size, done, drawn = len(HEADER), 0, 0
    with writing(path) as stream:
        stream.write(HEADER)
        for rows in chunks:
            block = text(rows)
            stream.write(block)
            digest.update(block)
            size, done, drawn = size + len(block), done + len(rows.values), drawn + rows.attempts
            if report is not None:
                report(f"listops {path.stem.removeprefix('basic_')}: {done} of {count} examples")
    return {"sha256": digest.hexdigest(), "bytes": size, "rows": count, "trees_drawn": drawn}


def _keep(out: Path, facts: dict[str, Any]) -> None:
    manifest = read_manifest(out) if out.is_dir() else None
    remedy = "Choose another folder, or move it away."
    if manifest is None:
        raise DataError(f"{out}: must be absent, empty or a generated ListOps; got other files.", remedy)
    if (got := {name: manifest.get(name) for name in facts}) != facts:
        raise DataError(f"{out}: already holds the data of {got}; asked for {facts}.", remedy)
    for name in manifest["files"]:
        verify(out / name, manifest)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a generated ListOps; None where there is none.

    Raises
    ------
    DataError
        If it is another one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        files, sizes = manifest["files"].values(), manifest["sizes"]
        whole = manifest["task"] == "listops" and all("sha256" in file for file in files)
        whole &= len(sizes) == len(SPLITS) and all(type(n) is int for n in sizes) and "seed" in manifest
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise DataError(f"{path}: must be the manifest of a generated ListOps.", "Make the data again.")
    return dict(manifest)


def content_name(path: Path) -> str:
    """The name of what is in ``path``, whether it is compressed or not."""
    return path.name.removesuffix(".gz").removesuffix(".xz")


def verify(path: Path, manifest: dict[str, Any]) -> None:
    """``path`` exists and its content, plain or compressed, has the SHA-256 that the manifest says.

    Raises
    ------
    DataError
        Otherwise.
    """
    want, got = manifest["files"][content_name(path)]["sha256"], "no such file"
    if path.is_file():
        with reading(path) as stream:
            got = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    if got != want:
        raise DataError(
            f"{path}: SHA-256 must be {want} (in {MANIFEST}); got {got}.",
            "Make the data again in an empty folder.",
        )
