"""Downloads, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from real_formats import aan_files, cifar, imdb_tree, speech, tar

import s5ref.data
from s5ref.data import download, images, official
from s5ref.data.making import Making
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
    for file in images.MNIST:
        data = gzip.compress(file.name.encode())
        small.append(replace(file, gz=hashlib.sha256(data).hexdigest()))
        for mirror in pair:
            (mirror.folder / f"{file.name}.gz").write_bytes(data)
    monkeypatch.setattr(images, "MNIST", tuple(small))
    yield pair
    for mirror in pair:
        mirror.server.shutdown()
        mirror.server.server_close()


NAMES = [f"{file.name}.gz" for file in images.MNIST]


def test_four_files_from_the_first_mirror(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    said: list[str] = []
    one, two = mirrors
    paths = download.fetch_mnist(tmp_path / "new" / "mnist", (one.url, two.url), said.append)
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in (tmp_path / "new" / "mnist").iterdir()) == sorted(NAMES)
    assert len(one.asked) == 4
    assert [line for line in said if " from " in line] == [
        f"{name} from {one.url}{name}, SHA-256 must be {file.gz}"
        for name, file in zip(NAMES, images.MNIST, strict=True)
    ]
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
    with pytest.raises(S5Error, match=f"{NAMES[0]}: no address gave the official file") as caught:
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


ARCHIVES = {
    "text": official.IMDB, "image": official.CIFAR10, "scifar": official.CIFAR10,
    "speech35": official.SPEECH_COMMANDS, "retrieval": official.LRA,
}  # fmt: skip
FILES: dict[str, Callable[[], dict[str, bytes]]] = {
    "aclImdb_v1.tar.gz": imdb_tree,
    "cifar-10-binary.tar.gz": lambda: cifar("bin"),
    "speech_commands_v0.02.tar.gz": speech,
    "lra_release.gz": lambda: {f"lra_release/tsv_data/{name}": data for name, data in aan_files().items()},
}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kind", ["sha256", "md5", ""])
def test_archives_are_downloaded_and_read(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Each archive with small content in its form, from a server here, held against its checksum."""
    archive, (one, two) = ARCHIVES[name], mirrors
    data = gzip.compress(tar(FILES[archive.name]()))
    (two.folder / archive.name).write_bytes(data)
    checksum = f"{kind}:{hashlib.new(kind, data).hexdigest()}" if kind else ""
    here = replace(archive, urls=(one.url + archive.name, two.url + archive.name), checksum=checksum)
    monkeypatch.setattr(official, "ALL", {here.name: here})
    said: list[str] = []
    make = download.archive_maker(here)
    task = s5ref.data.get_task(name)
    make(task, tmp_path / task.folder, Making(report=said.append))
    assert said[0].endswith(here.promise)
    assert any("100%" in line for line in said)
    assert set(one.asked) == set(two.asked) == {f"/{archive.name}"}  # the first one lacks it
    dataset = s5ref.data.load(name, tmp_path)
    assert dataset.source.startswith("partial: ")
    if archive is not official.LRA:
        assert dataset.source.endswith(", official") == bool(kind)
    make(task, tmp_path / task.folder, Making())
    assert len(two.asked) == 1 if kind else True  # right ones are kept


def test_an_archive_that_differs_is_refused(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    (mirrors[0].folder / "x.tar.gz").write_bytes(b"another")
    wanted = official.Archive("x.tar.gz", (mirrors[0].url + "x.tar.gz",), "md5:" + 32 * "0", 0)
    with pytest.raises(S5Error, match=r"not the official file \(MD5 must be 0000"):
        download.fetch([wanted], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_every_task_has_what_brings_its_data() -> None:
    """The name of the downloaded file is one that the reader looks for."""
    for name, archive in ARCHIVES.items():
        stems = [file for files in s5ref.data.get_task(name).file_sets for file in files]
        assert archive.name.removesuffix(".gz") in stems
        assert archive.urls[0].startswith("https://")
        assert s5ref.data.READERS[name].make is not None
