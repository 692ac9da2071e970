"""Files: reading plain, .gz and .xz alike, checksums, and writing that is whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from s5ref.errors import DataError

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


def read_bytes(path: Path) -> bytes:
    """The whole uncompressed content."""
    with reading(path) as stream:
        return stream.read()


def sha256(path: Path) -> str:
    """SHA-256 of the file as it is on disk."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A stream to ``path``: written beside it, fsynced, then renamed once; a failure leaves nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
