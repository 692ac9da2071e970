"""Files that are written whole or not at all, and read whatever their compression."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from memory import peak

from s5ref import DataError
from s5ref.files import read_bytes, remove_leftovers, write_atomically, writing


def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")
    with pytest.raises(TypeError), writing(path) as stream:
        stream.write("no bytes")  # type: ignore[call-overload]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


DIES = """
import os, sys
from s5ref.files import writing
with writing(sys.argv[1]) as stream:
    stream.write(b"half")
    stream.flush()
    os._exit(0)
"""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="process numbers of POSIX")
def test_what_a_dead_writer_of_this_host_left_is_removed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "x")], check=True, timeout=60)
    assert _names(tmp_path)[0].startswith(".x.tmp-")
    write_atomically(tmp_path / "y", b"")
    assert len(_names(tmp_path)) == 2
    write_atomically(tmp_path / "x", b"whole")
    assert _names(tmp_path) == ["x", "y"]


def test_the_file_of_another_writer_stays(tmp_path: Path) -> None:
    """Of this process, which lives, and of hosts whose processes are not known here."""
    path, unknown = tmp_path / "x", tmp_path / ".x.tmp-otherhost-999999999-0"
    unknown.write_bytes(b"half")
    with writing(path) as stream:
        stream.write(b"first")
        write_atomically(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert unknown.exists()
    remove_leftovers(path)
    assert _names(tmp_path) == ["x"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_file_has_the_mode_of_the_umask_which_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", None)
            write_atomically(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_reading(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(COMPRESSED[suffix](b"content" * 99))
    assert read_bytes(path) == b"content" * 99
    if suffix:
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(DataError, match=f"must be a whole {suffix} file"):
            read_bytes(path)


def test_an_xz_file_may_hold_several_streams_and_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    path, one = tmp_path / "x.xz", lzma.compress(b"content" * 99)
    path.write_bytes(one + lzma.compress(b"more") * 2)
    assert read_bytes(path) == b"content" * 99 + b"moremore"
    header = bytearray(one[12:24])  # of the first block; its dictionary is byte 4, its CRC-32 the last 4
    assert header[2:4] == b"\x21\x01"
    header[4] = 40  # 4 GiB
    header[8:] = zlib.crc32(header[:8]).to_bytes(4, "little")
    huge = one[:12] + header + one[24:]
    assert lzma.decompress(huge) == b"content" * 99
    for data in (huge, one + huge):
        path.write_bytes(data)

        def refused() -> None:
            with pytest.raises(DataError, match="must take at most 128 MiB; it asks for more") as caught:
                read_bytes(path)
            assert caught.value.remedy == f"Unpack it first: xz -d {path}."

        assert peak(refused) < 2**24


def test_a_file_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        read_bytes(tmp_path / "nowhere")
