"""npz files: what a header promises is compared with the file before anything is allocated."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from memory import peak

from s5ref import DataError, npz
from s5ref.arrays import Array

HERE, REMEDY = "a.npz", "Write it again."


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + body


def saved(x: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, x, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "x",
    [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(2.5),
        np.zeros((0, 3)), np.array([True, False]), np.arange(3, dtype=">i4"), np.array([1 + 2j], "c8"),
    ],
)  # fmt: skip
def test_arrays_are_those_of_numpy(x: Array) -> None:
    got = npz.loads_array(saved(x), HERE, REMEDY)
    assert (got.dtype, got.shape, got.tobytes()) == (x.dtype, x.shape, x.tobytes())
    assert np.isfortran(got) == np.isfortran(x)
    assert got.flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        b"", b"not npy", b"\x93NUMPY", npy("("), npy("{'descr': '<f8'}"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", bytes(8)),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(9)),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        npy("{'descr': '|S0', 'fortran_order': False, 'shape': (1000,)}"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(8), b"\x09\x00"),
        saved(np.array([None])), saved(np.array(["text"])), saved(np.zeros(2, "f4,f4")),
    ],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.npz: x\.npy"):
        npz.loads(zipped({"x.npy": data}), HERE, REMEDY)


def test_a_header_allocates_nothing() -> None:
    data = zipped({"x.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (33554432,)}", bytes(8))})

    def refused() -> None:
        with pytest.raises(DataError, match="takes 268435456 bytes; got 8"):
            npz.loads(data, HERE, REMEDY)

    assert peak(refused) < 2**20


def test_members_are_stored_unless_they_may_be_compressed() -> None:
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = zipped({"x.npy": saved(np.arange(99.0))}, compression)
        with pytest.raises(DataError, match=r"the member x\.npy must not be compressed"):
            npz.loads(data, HERE, REMEDY)
        if compression == zipfile.ZIP_DEFLATED:
            assert npz.loads(data, HERE, REMEDY, deflated=True)["x"][-1] == 98
        else:
            with pytest.raises(DataError, match="must not be compressed"):
                npz.loads(data, HERE, REMEDY, deflated=True)


def test_compressed_members_unfold_to_what_they_promise_and_no_more() -> None:
    zeros = zipped({"x.npy": saved(np.zeros(2**23))}, zipfile.ZIP_DEFLATED)

    def too_much() -> None:
        with pytest.raises(DataError, match="its members must take at most"):
            npz.loads(zeros, HERE, REMEDY, deflated=True)

    assert peak(too_much) < 2**20
    entry = zeros.rindex(b"PK\x01\x02")  # the central directory: the uncompressed size is at 24
    lie = zeros[: entry + 24] + struct.pack("<I", 1000) + zeros[entry + 28 :]

    def cut() -> None:
        with pytest.raises(DataError, match=r"x\.npy"):
            npz.loads(lie, HERE, REMEDY, deflated=True)

    assert peak(cut) < 2**21


def test_members_that_share_bytes_are_refused() -> None:
    """Many entries of one member: each fits the file, all of them do not."""
    one = zipped({"x.npy": saved(np.zeros(2**16))})
    at = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    entry = one[at:end]
    entries = b"".join(entry.replace(b"x.npy", b"%05d" % i) for i in range(500))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), at, 0)
    with pytest.raises(DataError, match="its members must take at most"):
        npz.loads(one[:at] + entries + tail, HERE, REMEDY)


def test_a_member_that_vanishes_is_missed() -> None:
    """An entry whose comment is said to be as long as the next entry: zipfile sees one member."""
    data = bytearray(zipped({"x.npy": saved(1.0), "y.npy": saved(2.0)}))
    first, second = data.index(b"PK\x01\x02"), data.rindex(b"PK\x01\x02")
    data[first + 32 : first + 34] = (data.index(b"PK\x05\x06") - second).to_bytes(2, "little")
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["x.npy"]
    with pytest.raises(DataError, match="must have 2 members; got 1"):
        npz.loads(bytes(data), HERE, REMEDY)


@pytest.mark.parametrize(
    "mark", [b"PK\x01\x02", b"PK\x03\x04"]
)  # of a name in the directory, or before its member
def test_a_long_name_makes_no_long_message(mark: bytes) -> None:
    data = bytearray(zipped({"x" * 60_000: b"1"}, zipfile.ZIP_DEFLATED))
    with pytest.raises(DataError) as compressed:
        npz.loads(bytes(data), HERE, REMEDY)
    data[data.index(b"xxxx", data.index(mark))] = ord("y")  # the two names differ
    with pytest.raises(DataError) as differ:
        npz.Archive(bytes(data), HERE, REMEDY, deflated=True).read("yx"[mark[3] == 4] + "x" * 59_999)
    assert max(len(str(compressed.value)), len(str(differ.value))) < 1000


def test_two_members_of_one_name_are_refused() -> None:
    data = zipped({"x.npy": saved(1.0), "y.npy": saved(2.0)}).replace(b"y.npy", b"x.npy")
    with pytest.raises(DataError, match="must differ"):
        npz.loads(data, HERE, REMEDY)
