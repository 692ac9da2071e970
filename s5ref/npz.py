"""npz files and other zips of arrays, read so that memory follows the length of the file; their bytes.

A header is a claim. What it promises is compared with the bytes that there are before anything is allocated.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.files import parsing

GROWTH = 64  # what a compressed file unfolds to takes at most this many times its length, …
ALWAYS = 2**24  # … or this many bytes: a small file of zeros is an honest one
NUMBERS = "fciub"  # kinds of dtypes
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def dumps(members: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    """A zip of these members, uncompressed and without the time: equal members give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)  # of 1980
            info.create_system = 3  # Unix, on every system
            archive.writestr(info, data)
        archive.comment = comment
    return buffer.getvalue()


def dumps_array(x: Array) -> bytes:
    """The inverse of `loads_array`."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, x, allow_pickle=False)
    return buffer.getvalue()


class Archive:
    """A zip in memory, whose members together take no more than they may.

    Parameters
    ----------
    data : bytes
    where, remedy : str
        The file, for messages, and what to do about a damaged one.
    deflated : bool
        Whether members may be compressed: then they take at most ``GROWTH`` times the length of the file, or
        ``ALWAYS`` bytes if that is more; otherwise at most its length.

    Raises
    ------
    DataError
        If it is no zip, or one of other members.
    """

    def __init__(self, data: bytes, where: str, remedy: str, deflated: bool = False) -> None:
        self.where, self.remedy = where, remedy
        with parsing(f"{where} is not readable as a zip", remedy):
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        members = self._zip.infolist()
        self.names = [member.filename for member in members]
        end = data.rindex(b"PK\x05\x06")  # zipfile ends silently at an entry that swallows the next ones
        count = int.from_bytes(data[end + 10 : end + 12], "little")
        if count not in (len(members), 0xFFFF):  # the latter: more than fit here
            raise DataError(f"{where}: must have {count} members; got {len(members)}.", remedy)
        if len(set(self.names)) < len(self.names):
            raise DataError(f"{where}: the names of its members must differ.", remedy)
        for member in members:
            stored = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
            if not stored and not (deflated and member.compress_type == zipfile.ZIP_DEFLATED):
                raise DataError(f"{where}: the member {member.filename:.200} must not be compressed.", remedy)
        total = sum(member.file_size for member in members)
        most = max(len(data) * GROWTH, ALWAYS) if deflated else len(data)
        if total > most:
            raise DataError(
                f"{where}: its members must take at most {most} bytes, for it has {len(data)}; "
                f"they promise {total}.",
                remedy,
            )

    def read(self, name: str) -> bytes:
        """The member ``name``.

        Raises
        ------
        DataError
            If it is damaged or missing.
        """
        where = f"{self.where}: {name:.200}"
        with parsing(f"{where} cannot be read", self.remedy):
            size = self._zip.getinfo(name).file_size
            with self._zip.open(name) as stream:
                data = stream.read(size)  # decompresses no more than that
            if len(data) != size:
                raise DataError(f"{where} must hold {size} bytes; got {len(data)}.", self.remedy)
            return data


def loads(
    data: bytes, where: str, remedy: str, deflated: bool = False, kinds: str = NUMBERS
) -> dict[str, Array]:
    """The arrays of an npz file by name; arguments as of `Archive` and `loads_array`.

    Raises
    ------
    DataError
        If it is no npz file, is damaged, or holds anything of another kind.
    """
    archive = Archive(data, where, remedy, deflated)
    return {
        name.removesuffix(".npy"): loads_array(archive.read(name), f"{where}: {name:.200}", remedy, kinds)
        for name in archive.names
    }


def loads_array(data: bytes, where: str, remedy: str, kinds: str = NUMBERS) -> Array:
    """The array of an npy file, in a memory of its own.

    Parameters
    ----------
    data : bytes
    where, remedy : str
        The file, for messages, and what to do about a damaged one.
    kinds : str
        The kinds of dtypes that it may have: numbers and booleans, and "U" for text.

    Raises
    ------
    DataError
        If it is no npy file of these kinds, its header promises another number of bytes, or its text is none.
    """
    with parsing(f"{where} is not readable as npy", remedy):
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise DataError(f"{where}: the npy version must be 1.0 or 2.0; got {version}.", remedy)
        shape, fortran, dtype = _HEADERS[version](stream)
        if dtype.kind not in kinds or not dtype.itemsize or min(shape, default=0) < 0:
            text = ", or text" if "U" in kinds else ""
            raise DataError(f"{where} must hold numbers or booleans{text}; got {dtype} {shape}.", remedy)
        want, got = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
        if want != got:
            raise DataError(
                f"{where}: {dtype} {shape} takes {want} bytes; got {got}.",
                remedy,
            )
        values = np.frombuffer(data, dtype, offset=stream.tell())
        if dtype.kind == "U":
            "".join(values.tolist()).encode()  # raises on what is no character
        x: Array = values.reshape(shape, order="F" if fortran else "C").copy(order="K")
        return x
