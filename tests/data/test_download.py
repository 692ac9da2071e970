"""Downloads, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import s5ref.data
from s5ref.data import download, images
from s5ref.errors import S5Error


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]


class Mirror:
    """A folder served on 127.0.0.1; ``asked`` are the paths asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.asked: list[str] = []
        self.server.paths = self.asked  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()


@pytest.fixture
def mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mirror, Mirror]]:
    pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pair = Mirror(tmp_path / "one"), Mirror(tmp_path / "two")
    small = []
    for official in images.MNIST:
        data = gzip.compress(official.name.encode())
        small.append(replace(official, gz=hashlib.sha256(data).hexdigest()))
        for mirror in pair:
            (mirror.folder / f"{official.name}.gz").write_bytes(data)
    monkeypatch.setattr(images, "MNIST", tuple(small))
    yield pair
    for mirror in pair:
        mirror.server.shutdown()
        mirror.server.server_close()


NAMES = [f"{official.name}.gz" for official in images.MNIST]


def test_four_files_from_the_first_mirror(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    said: list[str] = []
    one, two = mirrors
    paths = download.fetch_mnist(tmp_path / "new" / "mnist", (one.url, two.url), said.append)
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in (tmp_path / "new" / "mnist").iterdir()) == sorted(NAMES)
    assert len(one.asked) == len(said) == 4
    assert not two.asked
    download.fetch_mnist(tmp_path / "new" / "mnist", (one.url,))
    assert len(one.asked) == 4  # what is there and right is kept


def test_a_wrong_file_that_is_there_is_replaced(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    (tmp_path / NAMES[1]).write_bytes(b"wrong")
    download.fetch_mnist(tmp_path, (mirrors[0].url,))
    assert (tmp_path / NAMES[1]).read_bytes() == (mirrors[0].folder / NAMES[1]).read_bytes()


@pytest.mark.parametrize("fault", ["missing", "corrupt", "down"])
def test_the_next_mirror_answers(mirrors: tuple[Mirror, Mirror], tmp_path: Path, fault: str) -> None:
    one, two = mirrors
    if fault == "missing":
        (one.folder / NAMES[2]).unlink()
    elif fault == "corrupt":
        (one.folder / NAMES[2]).write_bytes(b"corrupt")
    else:
        one.server.shutdown()
        one.server.server_close()
    download.fetch_mnist(tmp_path / "mnist", (one.url, two.url))
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(NAMES)


def test_a_corrupt_file_is_refused_by_name_and_leaves_nothing(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    for mirror in mirrors:
        (mirror.folder / NAMES[0]).write_bytes(b"corrupt")
    with pytest.raises(S5Error, match=f"{NAMES[0]}: no mirror gave the official file") as caught:
        download.fetch_mnist(tmp_path / "mnist", tuple(mirror.url for mirror in mirrors))
    assert "not the official file (SHA-256 must be " in caught.value.message
    assert not (tmp_path / "mnist").exists()


def test_offline_says_where_to_place_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(S5Error, match="ConnectionError") as caught:
        download.fetch_mnist(tmp_path / "mnist", ("http://127.0.0.1:9/",), timeout=2)
    assert f"place the file yourself as {tmp_path / 'mnist' / NAMES[0]}" in caught.value.remedy
    assert not (tmp_path / "mnist").exists()


def test_without_pooch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(S5Error, match="pooch is not installed") as caught:
        s5ref.data.make("smnist", tmp_path)
    assert caught.value.remedy == 'Run: pip install "s5ref[data]"'
    assert not (tmp_path / "mnist").exists()


def test_make_downloads_to_the_given_folder_or_the_cache(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.fetch_mnist, "__defaults__", ((mirrors[0].url,), None, 2.0))
    assert s5ref.data.make("smnist", tmp_path) == tmp_path / "mnist"
    assert s5ref.data.make("psmnist") == cache / "mnist"
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(NAMES)
