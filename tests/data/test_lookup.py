"""Where data is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref.cache import cache_dir
from s5ref.data import check, get_task, load
from s5ref.data.lookup import candidates, find, target
from s5ref.errors import S5Error

LISTOPS = get_task("listops")


def place(folder: Path, pattern: str = "basic_{}.tsv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        (folder / pattern.format(split)).write_bytes(b"")
    return folder


def test_cache_is_s5ref_cache_else_xdg_else_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("S5REF_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("S5REF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "s5ref"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_dir() == tmp_path / ".cache" / "s5ref"


def test_order_of_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    assert candidates(LISTOPS, tmp_path) == [tmp_path / "listops", tmp_path]
    assert candidates(LISTOPS, None) == [cache / "listops", cache]
    monkeypatch.setenv("S5REF_DATA", str(tmp_path / "env"))
    env = tmp_path / "env"
    assert candidates(LISTOPS, None) == [env / "listops", env, cache / "listops", cache]
    assert candidates(LISTOPS, str(tmp_path)) == [tmp_path / "listops", tmp_path]
    assert target(LISTOPS, None) == cache / "listops"
    assert target(LISTOPS, tmp_path) == tmp_path / "listops"


def test_the_folder_wins_over_the_files_beside_it(tmp_path: Path) -> None:
    place(tmp_path)
    assert find(LISTOPS, tmp_path)[0] == tmp_path / "basic_train.tsv"
    place(tmp_path / "listops")
    assert find(LISTOPS, tmp_path)[0] == tmp_path / "listops" / "basic_train.tsv"


def test_environment_then_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    place(cache / "listops")
    assert find(LISTOPS, None)[0].parent == cache / "listops"
    monkeypatch.setenv("S5REF_DATA", str(tmp_path))  # has no ListOps: the cache still answers
    assert find(LISTOPS, None)[0].parent == cache / "listops"
    place(tmp_path / "listops")
    assert find(LISTOPS, None)[0].parent == tmp_path / "listops"


def test_every_form_of_the_names(tmp_path: Path) -> None:
    for pattern in (
        "basic_{}.tsv",
        "basic_{}.tsv.gz",
        "lra_format_basic_{}.tsv",
        "lra_format_basic_{}.tsv.xz",
    ):
        folder = place(tmp_path / pattern.format("x"), pattern)
        assert [p.name for p in find(LISTOPS, folder)] == [
            pattern.format(s) for s in ("train", "val", "test")
        ]


def test_two_incomplete_sets_are_not_mixed(tmp_path: Path) -> None:
    place(tmp_path)
    place(tmp_path, "lra_format_basic_{}.tsv")
    (tmp_path / "basic_test.tsv").unlink()
    assert find(LISTOPS, tmp_path)[0].name == "lra_format_basic_train.tsv"
    (tmp_path / "lra_format_basic_train.tsv").unlink()
    with pytest.raises(S5Error, match=r"lacks basic_test\.tsv"):
        find(LISTOPS, tmp_path)


def test_a_given_folder_without_the_files_is_an_error_even_if_others_have_them(
    tmp_path: Path, cache: Path
) -> None:
    place(cache / "listops")
    with pytest.raises(S5Error) as caught:
        find(LISTOPS, tmp_path)
    assert f"{tmp_path / 'listops'} (no such folder)" in caught.value.message
    assert f"{tmp_path} (lacks basic_train.tsv, basic_val.tsv, basic_test.tsv)" in caught.value.message
    assert str(cache) not in caught.value.message
    assert caught.value.remedy == LISTOPS.where


def test_not_found_names_every_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setenv("S5REF_DATA", str(tmp_path))
    for name in ("smnist", "listops"):
        with pytest.raises(S5Error) as caught:
            load(name)
        for place_ in candidates(get_task(name), None):
            assert str(place_) in caught.value.message
        assert caught.value.remedy == get_task(name).where
        report = check(name)
        assert not report.ok
        assert report.problem == caught.value.message
        assert report.remedy == caught.value.remedy


def test_names_of_folders_end_in_a_slash(tmp_path: Path) -> None:
    text = get_task("text")
    (tmp_path / "aclImdb").write_bytes(b"")  # a file of this name is no such folder
    with pytest.raises(S5Error, match="data not found"):
        find(text, tmp_path)
    (tmp_path / "imdb" / "aclImdb").mkdir(parents=True)
    assert find(text, tmp_path) == (tmp_path / "imdb" / "aclImdb",)
