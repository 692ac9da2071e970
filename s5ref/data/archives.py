"""The files in a folder, or in a tar archive, which is read as a stream: nothing is ever unpacked.

What an archive claims is not believed: a name that leads out of it, a link, a device, a sparse file, or an
archive that unfolds to far more than its own length is refused. A damaged header ends tar files silently
elsewhere; here it is an error.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from s5ref.errors import DataError
from s5ref.files import DAMAGED, parsing, reading
from s5ref.npz import ALWAYS, GROWTH

_BLOCK = 1 << 20


def walk(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, stream) of the files whose names ``wanted`` accepts, each to be read before the next one.

    Parameters
    ----------
    path : path
        A folder, or a tar file, plain, .gz or .xz.
    wanted : function
        Is given names relative to ``path``, with / between their parts.

    Yields
    ------
    name, stream
        In a folder by name; in an archive as they come.

    Raises
    ------
    DataError
        On an archive that is damaged, or holds what no data set holds.
    """
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            folders.sort()
            for file in sorted(files):
                name = (Path(folder) / file).relative_to(path).as_posix()
                if wanted(name):
                    with reading(path / name) as stream:
                        yield name, io.BufferedReader(_Forward(stream, str(path / name)))
        return
    with reading(path) as content, parsing(f"{path} is not readable as a tar archive", DAMAGED):
        most = max(GROWTH * path.stat().st_size, ALWAYS)
        source = _Limited(content, most, path)
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_Member) as archive:  # type: ignore[call-overload]
            for member in archive:
                archive.members.clear()  # it keeps them all otherwise: of an archive of millions, gigabytes
                name = _name(path, member)
                if member.isdir() or not wanted(name):
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(f"{path}: {name:.200} must be a file; it is a link or the like.", DAMAGED)
                stream = archive.extractfile(member)
                assert stream is not None
                yield name, io.BufferedReader(_Forward(stream, f"{path}: {name:.200}"))
        while source.read(_BLOCK):  # to the end, where the checksum of the compression is
            pass


def contents(path: Path, wanted: Callable[[str], bool], most: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files of `walk`.

    Raises
    ------
    DataError
        As `walk`, and on a file of more than ``most`` bytes.
    """
    for name, stream in walk(path, wanted):
        data = bytearray()
        while len(data) <= most and (block := stream.read(_BLOCK)):
            data += block
        if len(data) > most:
            raise DataError(
                f"{path}: {name:.200} must have at most {most} bytes; it has more.",
                "Check that it is what its name says.",
            )
        yield name, bytes(data)


def _name(path: Path, member: tarfile.TarInfo) -> str:
    name = PurePosixPath(member.name)  # without a ./ in front
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise DataError(
            f"{path}: the names in it must lead to files below it; got {member.name:.200}.",
            "It is no archive of a data set: do not unpack it.",
        )
    return str(name)


class _Member(tarfile.TarInfo):
    """Its header must be right; `tarfile` takes one that is damaged for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """The next header.

        Raises
        ------
        tarfile.EOFHeaderError
            At the end.
        tarfile.ReadError
            If it is damaged or missing.
        """
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a header in it is damaged: {error}") from error


class _Forward(io.RawIOBase):
    """A stream that can only be read, and says what is damaged: whoever reads it is not in `walk`."""

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self.stream, self.where = stream, where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes; 0 at the end."""
        with parsing(f"{self.where} cannot be read", DAMAGED):
            data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Limited:
    """A stream that gives at most so many bytes."""

    def __init__(self, stream: IO[bytes], most: int, path: Path) -> None:
        self.stream, self.left, self.most, self.name = stream, most, most, str(path)

    def read(self, size: int) -> bytes:
        """Some bytes, none at the end.

        Raises
        ------
        DataError
            Beyond the limit.
        """
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise DataError(
                f"{self.name}: must unfold to at most {self.most} bytes; it has more.",
                "It is no archive of a data set, or a damaged one.",
            )
        return data
