"""Files: reading plain, .gz and .xz alike, checksums, and writing that is whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from s5ref.errors import DataError, S5Error

DAMAGED = "Get the file again: it is truncated or damaged."


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed content of ``path`` as a stream; truncated and damaged files are refused by name."""
    import gzip
    import lzma
    import zlib

    try:
        with _open(path) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: must be a whole {path.suffix} file; got: {error}.", DAMAGED) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}.", "Check the path and its permissions.") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        import gzip

        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".xz":
        import lzma

        return lzma.open(path, "rb")
    return path.open("rb")


@contextmanager
def parsing(what: str, remedy: str) -> Iterator[None]:
    """Whatever parsing foreign or damaged bytes raises becomes a DataError: ``what``, and why."""
    try:
        yield
    except S5Error:
        raise
    except Exception as error:  # zipfile, pickle, NumPy and the libraries raise many kinds
        raise DataError(f"{what}: {type(error).__name__}: {error}.", remedy) from error


def read_bytes(path: Path) -> bytes:
    """The whole uncompressed content."""
    with reading(path) as stream:
        return stream.read()


def sha256(path: Path) -> str:
    """SHA-256 of the file as it is on disk."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """A stream to ``path``, which holds its old bytes or all new ones, whatever happens.

    The stream writes a temporary file in the same folder; it is fsynced and then renamed. A killed process
    leaves it behind; the next writer of the same path removes it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.tmp-"
    for leftover in path.parent.glob(prefix + "*"):
        leftover.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=prefix, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(path: str | Path, data: bytes) -> None:
    """``data`` as the whole content of ``path``, by `writing`."""
    with writing(path) as stream:
        stream.write(data)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path``, absent or empty until then, by one rename at the end.

    A failure leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=path.parent))
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        folder.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    """The process's umask, which mkstemp ignores; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
