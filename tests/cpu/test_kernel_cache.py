"""The files of compiled functions: read only whole, only the user's own, and replaced where they are not."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from s5ref.cache import CACHE_VARIABLE
from s5ref.cpu.kernel_cache import DIGEST, KernelCache, kernel_folder

ANY: Any = numba


def double(x: float) -> float:
    return 2 * x


def hits(folder: Path) -> int:
    """How often a new dispatcher of `double` was served from the folder; its result is checked."""
    dispatcher = ANY.njit(double)
    dispatcher._cache = KernelCache(double, folder)
    assert dispatcher(1.5) == 3.0
    return sum(dispatcher.stats.cache_hits.values())


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """The file of `double`, compiled."""
    assert hits(tmp_path) == 0
    (file,) = tmp_path.iterdir()
    return file


def flipped(at: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        i = int(at * len(data))
        return data[:i] + bytes([data[i] ^ 16]) + data[i + 1 :]

    return flip


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated in the digest": lambda data: data[: DIGEST // 2],
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "garbage": lambda data: np.random.default_rng(0).bytes(len(data)),
    **{f"a bit flipped at {at}": flipped(at) for at in np.linspace(0, 0.999, 24).round(3).tolist()},
}


def test_an_intact_file_is_used(kernel: Path) -> None:
    assert hits(kernel.parent) == 1


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_compiled_and_written_again(kernel: Path, damage: Callable[[bytes], bytes]) -> None:
    intact = kernel.read_bytes()
    kernel.write_bytes(damage(intact))
    assert hits(kernel.parent) == 0
    assert hits(kernel.parent) == 1


class Planted:
    def __reduce__(self) -> Any:
        return (os.mkdir, (os.environ["S5REF_TEST_PLANTED"],))


def test_a_pickle_without_its_digest_does_not_run(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "it ran"
    monkeypatch.setenv("S5REF_TEST_PLANTED", str(mark))
    kernel.write_bytes(pickle.dumps(Planted()))
    assert hits(kernel.parent) == 0
    assert not mark.exists()


posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX's")


@posix
def test_a_file_of_another_user_is_not_read(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: kernel.stat().st_uid + 1)
    assert hits(kernel.parent) == 0


@posix
def test_the_folder_is_the_user_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    folder, why = kernel_folder("key")
    assert folder is not None
    assert why == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    refused, why = kernel_folder("key")
    assert refused is None
    assert "open to other users (mode 770); delete it" in why
    folder.rmdir()
    assert kernel_folder("key") == (folder, "")  # what the message advises
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    refused, why = kernel_folder("key")
    assert refused is None
    assert f"belongs to another user; set {CACHE_VARIABLE}" in why


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    folder, why = kernel_folder("key")
    assert folder is None
    assert "cannot be made" in why


def test_a_full_disk_costs_the_file_alone(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.unlink()

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert hits(kernel.parent) == 0
    assert list(kernel.parent.iterdir()) == []
