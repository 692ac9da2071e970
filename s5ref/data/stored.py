"""Arrays in a folder: an npy file of each, written row by row, and a manifest with their SHA-256.

They are read as memory maps, so that data larger than the memory can be trained on. Every byte is verified
when they are opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.files import new_folder, parsing, sha256, write_atomically

MANIFEST = "manifest.json"
_FORMAT, _VERSION = "s5ref-arrays", 1
_HEADER = 128  # bytes before the numbers of an npy file that was written row by row


class Arrays(dict[str, Array]):
    """Arrays by name to fill: by assignment, or row by row.

    Parameters
    ----------
    folder : path or None
        Where rows are written as they come; None: they are kept in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder

    @contextmanager
    def rows(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> Iterator[Callable[[Array], Any]]:
        """A function that appends n rows, (n, *shape), to the array ``name``, which is there at the end."""
        size, dtype = 0, np.dtype(dtype)

        def contiguous(block: Array) -> Array:
            nonlocal size
            assert block.shape[1:] == shape, f"{name}: rows of {shape}; got {block.shape}"
            size += len(block)
            return np.ascontiguousarray(block, dtype)

        if self.folder is None:
            blocks = bytearray()
            yield lambda block: blocks.extend(contiguous(block).tobytes())
            self[name] = np.frombuffer(blocks, dtype).reshape(size, *shape)
            return
        path = self.folder / f"{name}.npy"
        with path.open("xb") as stream:
            stream.write(bytes(_HEADER))
            yield lambda block: stream.write(contiguous(block).tobytes())
            facts = repr({"descr": dtype.str, "fortran_order": False, "shape": (size, *shape)}).encode()
            stream.seek(0)
            stream.write(
                b"\x93NUMPY\1\0" + (_HEADER - 10).to_bytes(2, "little") + facts.ljust(_HEADER - 11) + b"\n"
            )
        self[name] = np.load(path, "r")


@contextmanager
def writing_arrays(folder: Path, facts: Mapping[str, Any]) -> Iterator[Arrays]:
    """Arrays to fill, which become ``folder``, absent or empty until then, by one rename at the end.

    Parameters
    ----------
    folder : path
    facts : mapping
        What they are, as JSON can hold it; `read_arrays` returns it.
    """
    with new_folder(folder) as temporary:
        arrays = Arrays(temporary)
        yield arrays
        for name, x in arrays.items():
            if not (path := temporary / f"{name}.npy").exists():
                np.save(path, x, allow_pickle=False)
        content = {
            "facts": dict(facts),
            "arrays": {name: sha256(temporary / f"{name}.npy") for name in arrays},
        }
        manifest = {"format": _FORMAT, "version": _VERSION, "sha256": _digest(content)} | content
        write_atomically(temporary / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
        arrays.clear()  # no file of the folder stays open


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_arrays(folder: Path, remedy: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays that `writing_arrays` wrote, and the facts.

    The arrays are memory maps. What is changed in them stays in memory and does not reach the files.

    Raises
    ------
    DataError
        With ``remedy``, if anything is missing or differs in a bit from what was written.
    """
    path = folder / MANIFEST
    with parsing(f"{path} cannot be read as a list of arrays", remedy):
        manifest = json.loads(path.read_bytes())
        content = {"facts": manifest["facts"], "arrays": manifest["arrays"]}
        got = manifest["format"], manifest["version"], manifest["sha256"]
        if got != (want := (_FORMAT, _VERSION, _digest(content))):
            raise DataError(f"{path}: format, version and SHA-256 must be {want}; got {got}.", remedy)
        arrays: dict[str, Array] = {}
        for name, digest in manifest["arrays"].items():
            file = folder / f"{name}.npy"
            if (found := sha256(file)) != digest:
                raise DataError(f"{file}: SHA-256 must be {digest}; got {found}.", remedy)
            arrays[name] = np.load(file, "c")
        return arrays, dict(manifest["facts"])


def already_holds(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a generator that is to write ``facts`` finds them there; False where the folder is absent or
    empty.

    Raises
    ------
    DataError
        If the folder holds anything else, or the arrays are damaged.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    remedy = "Choose another folder, or move it away."
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: must be absent, empty or generated before; got other files.", remedy)
    if (got := read_arrays(folder, remedy)[1]) != facts:
        raise DataError(f"{folder}: already holds the data of {got}; asked for {dict(facts)}.", remedy)
    return True
