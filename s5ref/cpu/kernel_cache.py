"""Compiled functions on disk: a file for every function and signature, in a folder that is the user's alone.

A file begins with the SHA-256 of what follows. What is damaged, or cannot be read for any other reason, is
compiled and written again. The content is a pickle, and runs what it says: so files are read only from a
folder with mode 0700, and only where folder and file belong to the user.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s5ref.cache import CACHE_VARIABLE, cache_dir
from s5ref.files import write_atomically

DIGEST = hashlib.sha256().digest_size


def kernel_folder(key: str) -> tuple[Path | None, str]:
    """The folder of the kernels of a key, made where it is missing, and ""; or None, and the reason."""
    folder = cache_dir() / "kernels" / key
    elsewhere = f"set {CACHE_VARIABLE} to another folder"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return None, f"{folder} cannot be made: {error.strerror}; {elsewhere}"
    if not _own(status):
        return None, f"{folder} belongs to another user; {elsewhere}"
    if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None, f"{folder} is open to other users (mode {status.st_mode & 0o777:o}); delete it"
    if not os.access(folder, os.W_OK):
        return None, f"{folder} is read-only; {elsewhere}"
    return folder, ""


class KernelCache:
    """What a dispatcher of Numba asks before and tells after it compiles ``fn``: the interface of
    `numba.core.caching.FunctionCache`, whose own files have no checksum.
    """

    def __init__(self, fn: Callable[..., Any], folder: Path) -> None:
        self.folder = folder
        self.name = f"{fn.__module__}.{fn.__qualname__}".replace("<", "").replace(">", "")
        self.code = fn.__code__.co_code

    @property
    def cache_path(self) -> str:
        """The folder, as Numba reports it."""
        return str(self.folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function, or None."""
        from numba.core import compiler

        results: Any = compiler.CompileResult
        target_context.refresh()
        try:
            with self._path(signature).open("rb") as stream:
                if not _own(os.fstat(stream.fileno())):
                    return None
                digest, content = stream.read(DIGEST), stream.read()
            if hashlib.sha256(content).digest() != digest:
                return None
            return results._rebuild(target_context, *pickle.loads(content))
        except Exception:
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the compiled function; where that fails it serves this process alone."""
        if result.library.has_dynamic_globals:  # addresses of this process
            return
        content = pickle.dumps(result._reduce(), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            write_atomically(self._path(signature), hashlib.sha256(content).digest() + content)
        except OSError:
            return

    def _path(self, signature: Any) -> Path:
        digest = hashlib.sha256(repr((signature, self.code)).encode()).hexdigest()
        return self.folder / f"{self.name}-{digest[:16]}.kernel"


def _own(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
