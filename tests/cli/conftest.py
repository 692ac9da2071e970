"""The command line, called in this process: a fresh folder and cache, a tiny model on the real digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from s5ref.cli.main import main
from s5ref.data import lookup
from s5ref.train import plot

TINY = [
    "--set", "model.n_layers=1", "model.d_model=6", "model.ssm_size=4", "model.blocks=1",
    "model.bidirectional=true", "model.activation=half_glu1", "train.batch=300",
    "train.epochs=3",
]  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """Exit code and what was written."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout; there is no other."""
        assert self.out.count("\n") == 1
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Cli = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lookup, "cache_dir", lambda: tmp_path / "cache")  # of data; compiled kernels are kept
    monkeypatch.delenv("S5REF_DATA", raising=False)
    if "curves" not in request.node.name:  # drawing takes longer than training the tiny model
        monkeypatch.setattr(plot, "curves", lambda run: None)


@pytest.fixture
def settings() -> list[str]:
    """What shrinks the digits recipe."""
    return TINY


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*argv: object) -> Ran:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def tiny(cli: Cli) -> Cli:
    """``train digits`` shrunk, on the NUMPY engine."""

    def run(*argv: object) -> Ran:
        return cli("train", "digits", "--engine", "numpy", *argv, *TINY)

    return run
