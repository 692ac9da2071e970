"""One file of a repository whose packages cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from s5ref.errors import S5Error
from s5ref.verification.conformance.adapters import imported


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "theirs" / "models"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("raise RuntimeError('the trainer is imported')\n")
    (package / "ssm.py").write_text(
        "import theirs_cuda\nfrom .parts import two\ndef f(): return theirs_cuda.g()\n"
    )
    (package / "parts.py").write_text("two = 2\n")
    for name in ("theirs", "theirs.models", "theirs.models.ssm", "theirs.models.parts", "theirs_cuda"):
        monkeypatch.setitem(sys.modules, name, None)  # and restored after the test
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_its_packages_are_not_run_and_its_neighbours_are_found(repository: Path) -> None:
    text = imported("theirs.models.ssm", repository, stubs=["theirs_cuda"])
    assert text.two == 2
    with pytest.raises(NotImplementedError, match=r"theirs_cuda\.g is not installed"):
        text.f()


def test_without_a_stub_its_own_error_is_raised(repository: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="theirs_cuda"):
        imported("theirs.models.ssm", repository)


def test_a_file_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(S5Error, match=r"theirs\.models\.gone must be in the repository"):
        imported("theirs.models.gone", repository)


def test_a_stub_has_every_name_and_what_is_given_takes_its_place(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("theirs_base", "theirs_base.typing", "theirs.models.module"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    (repository / "theirs" / "models" / "module.py").write_text(
        "import theirs_base\n"
        "from theirs_base import Network, configurable\n"
        "Array = theirs_base.typing.arrays.Array\n"
        "@configurable\n"
        "class SSM(Network): pass\n"
    )
    stubs = ["theirs_base", "theirs_base.typing"]
    given = {"theirs_base.Network": dict, "theirs_base.configurable": lambda made: made}
    text = imported("theirs.models.module", repository, stubs, given)
    assert issubclass(text.SSM, dict)
    with pytest.raises(NotImplementedError, match=r"theirs_base\.typing\.arrays\.Array is not installed"):
        text.Array()
