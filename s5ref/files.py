"""Files: reading plain, .gz and .xz alike, checksums, and writing that is whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import io
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from s5ref.errors import DataError, S5Error

_TEMPORARY = ".tmp-"  # in the names of files that are being written
_XZ_MEMORY = 2**27  # bytes: twice what `xz -9` asks for
DAMAGED = "Get the file again: it is truncated or damaged."


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed content of ``path`` as a stream.

    Raises
    ------
    DataError
        On a file that is truncated, damaged or cannot be read; the message names it.
    """
    import gzip
    import lzma
    import zlib

    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": _open_xz}
    try:
        with openers.get(path.suffix, open)(path, "rb") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        if "Memory usage limit" in str(error):
            raise DataError(
                f"{path}: unpacking it must take at most {_XZ_MEMORY >> 20} MiB; it asks for more.",
                f"Unpack it first: xz -d {path}.",
            ) from error
        raise DataError(f"{path}: must be a whole {path.suffix} file; got: {error}.", DAMAGED) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}.", "Check the path and its permissions.") from error


def _open_xz(path: Path, mode: str) -> IO[bytes]:
    return io.BufferedReader(_Xz(path.open(mode)))


class _Xz(io.RawIOBase):
    """The content of an .xz file; `lzma.open` would take the memory that the file asks for, up to 4 GiB."""

    def __init__(self, file: IO[Any]) -> None:
        import lzma

        self._file, self._new = file, functools.partial(lzma.LZMADecompressor, memlimit=_XZ_MEMORY)
        self._decoder = self._new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes; 0 at the end. A file may hold several streams, one after the other."""
        data = b""
        while not data:
            decoder, chunk = self._decoder, b""
            if decoder.eof:
                chunk = decoder.unused_data or self._file.read(io.DEFAULT_BUFFER_SIZE)
                if not chunk:
                    return 0
                decoder = self._decoder = self._new()
            elif decoder.needs_input:
                chunk = self._file.read(io.DEFAULT_BUFFER_SIZE)
                if not chunk:
                    raise EOFError("it ends before its content does")
            data = decoder.decompress(chunk, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def parsing(what: str, remedy: str) -> Iterator[None]:
    """Whatever parsing foreign or damaged bytes raises becomes a DataError: ``what``, and why."""
    try:
        yield
    except S5Error:
        raise
    except Exception as error:  # zipfile, pickle, NumPy and the libraries raise many kinds
        raise DataError(f"{what}: {type(error).__name__}: {error!s:.500}.", remedy) from error


def read_bytes(path: Path) -> bytes:
    """The whole uncompressed content of a file of ours; what others compressed is read from `reading`."""
    with reading(path) as stream:
        return stream.read()


def sha256(path: Path) -> str:
    """SHA-256 of the file as it is on disk."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def located(path: Path) -> Iterator[None]:
    """An OSError that names no file names ``path``: those of writing and of fsync do not say where."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def writing(path: str | Path) -> Iterator[IO[bytes]]:
    """A stream to ``path``, which holds its old bytes or all new ones, whatever happens.

    The stream writes a temporary file in the same folder; it is fsynced and then renamed. A killed process
    leaves it behind. Its name tells the process, so that the next writer of the same path on the same host
    removes it; the file of a process that lives, or of another host, stays.

    Raises
    ------
    OSError
        That names the file, where the disk is full or fails.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}{_TEMPORARY}"
    for leftover in _temporaries(path):
        if _writer_is_dead(leftover.name.removeprefix(prefix)):
            leftover.unlink(missing_ok=True)
    temporary = path.parent / f"{prefix}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with located(path):
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """What the files of a folder are called stays, whatever happens."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        with located(path):
            os.fsync(folder)
    finally:
        os.close(folder)


def remove_leftovers(path: Path) -> None:
    """Remove every temporary file of `writing` to ``path``: for its only writer, who holds a lock."""
    for leftover in _temporaries(path):
        leftover.unlink(missing_ok=True)


def _temporaries(path: Path) -> Iterator[Path]:
    return path.parent.glob(glob.escape(f".{path.name}{_TEMPORARY}") + "*")


@functools.cache
def _host() -> str:
    """A short name of this host and its table of process numbers (containers have one each)."""
    table = ""
    with contextlib.suppress(OSError):
        table = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {table}".encode()).hexdigest()[:8]


def _writer_is_dead(owner: str) -> bool:
    """Whether ``owner``, "host-pid-random", is known to be a process of this host that has ended."""
    host, _, rest = owner.partition("-")
    pid = rest.partition("-")[0]
    if os.name != "posix" or host != _host() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)  # no signal: asks whether the process exists
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def write_atomically(path: str | Path, data: bytes) -> None:
    """``data`` as the whole content of ``path``, by `writing`."""
    with writing(path) as stream:
        stream.write(data)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path``, absent or empty until then, by one rename at the end.

    A failure leaves nothing behind.
    """
    folder = path.parent / f".{path.name}.tmp-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder
        folder.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
