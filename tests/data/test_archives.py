"""Folders and archives, read without unpacking."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from real_formats import tar, write_tree

from s5ref.data.archives import contents, walk
from s5ref.errors import DataError

FILES = {"b/2.txt": b"two", "b/1.txt": b"one", "a.txt": b"a" * 5000, "b/3.bin": b"no"}


PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def text(name: str) -> bool:
    return name.endswith(".txt")


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_an_archive_holds_what_its_folder_does(tmp_path: Path, ending: str) -> None:
    pack = PACK[ending]
    archive = tmp_path / f"x.tar{ending}"
    archive.write_bytes(pack(tar(FILES)))
    folder = write_tree(tmp_path / "x", FILES)
    want = {name: data for name, data in FILES.items() if text(name)}
    assert dict(contents(archive, text, 5000)) == dict(contents(folder, text, 5000)) == want
    assert [name for name, _ in contents(folder, text, 5000)] == ["a.txt", "b/1.txt", "b/2.txt"]
    assert [name for name, _ in walk(archive, lambda name: name == "b/1.txt")] == ["b/1.txt"]
    for path in (archive, folder):
        with pytest.raises(DataError, match=r"a\.txt must have at most 4999 bytes"):
            dict(contents(path, text, 4999))


def one(info: tarfile.TarInfo, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = 1
    (tmp_path / "x.tar").write_bytes(one(info, b"x"))
    for wanted in (text, lambda name: False):  # also where nobody wants them
        with pytest.raises(DataError, match="must lead to files below it"):
            dict(contents(tmp_path / "x.tar", wanted, 100))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a.txt")
    info.type, info.linkname = kind, "/etc/passwd"
    (tmp_path / "x.tar").write_bytes(one(info))
    with pytest.raises(DataError, match=r"a\.txt must be a file"):
        dict(contents(tmp_path / "x.tar", text, 100))


def test_bombs_are_refused(tmp_path: Path) -> None:
    zeros = {f"{i}.bin": bytes(2**22) for i in range(5)}  # a little more than is always allowed
    for ending, pack in ((".gz", gzip.compress), (".xz", lzma.compress)):
        path = tmp_path / f"x.tar{ending}"
        path.write_bytes(pack(tar(zeros)))
        with pytest.raises(DataError, match="must unfold to at most"):
            dict(contents(path, text, 100))


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_truncated_anywhere(tmp_path: Path, ending: str) -> None:
    pack = PACK[ending]
    whole = tar(FILES)
    data, path = pack(whole), tmp_path / f"x.tar{ending}"
    end = len(whole.rstrip(b"\0")) if not ending else len(data)  # after that come zeros, which say the end
    for at in range(0, end, 97):
        path.write_bytes(data[:at])
        with pytest.raises(DataError, match=r"x\.tar"):
            dict(contents(path, text, 5000))


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(tar(FILES))
    data[data.index(b"a.txt")] ^= 1
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(DataError, match="a header in it is damaged"):
        dict(contents(tmp_path / "x.tar", text, 5000))


def test_the_checksum_of_the_compression_counts(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar(FILES)))
    data[-5] ^= 1
    (tmp_path / "x.tar.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"x\.tar\.gz"):
        dict(contents(tmp_path / "x.tar.gz", text, 5000))
