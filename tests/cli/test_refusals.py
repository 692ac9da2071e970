"""Whatever is wrong is refused with exit code 2, what is wrong, and what to do; with --json as an object."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s5ref.cli import recipes
from s5ref.cli.main import COMMANDS

Cli = Callable[..., Any]
REFUSED = [
    ("trian digits", "Unknown command 'trian'", "Did you mean train?"),
    ("--engine numpy train digits", "The command comes first", "Example"),
    ("train", "A recipe or a TOML file is missing", "s5ref recipes"),
    ("train digitz", "Unknown recipe 'digitz'", "Did you mean digits?"),
    ("train nowhere.toml", "nowhere.toml cannot be read", "Check the path"),
    ("train digits --set model.n_layer=3", "model.n_layer", "Did you mean model.n_layers?"),
    ("train digits --set modl.n_layers=3", "modl", "Did you mean model?"),
    ("train digits --set n_layers=3", "section.key=value", "Example"),
    ("train digits --set model.n_layers=two", "model.n_layers=two", ""),
    ("train digits --set model.n_layers=2.5", "model.n_layers must be an integer", ""),
    ("train digits --set model.activation=glu", "model.activation must be one of", ""),
    ("train digits --set model.blocks=3", "model.blocks must be", ""),
    ("train digits --set train.batch=5000 --engine numpy", "batch must not be larger", "Lower train.batch"),
    ("train digits --epochs 3 --set train.epochs=4", "--epochs is --set train.epochs", "one of the two"),
    ("train digits --epochs 3 --steps 4", "not allowed with", "train --help"),
    ("train digits --dry-run --overfit", "not allowed with", "train --help"),
    ("train digits --epochs 0", "at least 1", "train --help"),
    ("train digits --steps many", "at least 1; got 'many'", "train --help"),
    ("train digits --out=", "must be the name of a folder; got ''", "train --help"),
    ("train digits --threads 0", "at least 1", "train --help"),
    ("train digits --seeds 1,1", "different integers", "train --help"),
    ("train digits --engine nump", "Did you mean numpy?", "train --help"),
    ("train digits --device gpu", "one of cpu, cuda", "train --help"),
    ("train digits --tf32", "a mode of the GPU", "--device cuda"),
    ("train digits --device cuda --engine numba", "an engine of its own", "one of the two"),
    ("train digits --stepz 3", "Unknown option '--stepz'", "Did you mean --steps?"),
    ("train digits smnist", "Unknown argument 'smnist'", "train --help"),
    ("train digits --overfit --out x", "--overfit does not go with --out", "Leave it out"),
    ("train smnist", "smnist: data not found", "mnist"),
    ("train scifar", "scifar: data not found", "cifar"),
    ("train digits --resume", "--resume needs the run folder", "--out"),
    ("train digits --resume --out nowhere", "nowhere does not exist", "Leave out --resume"),
    ("eval", "required: RUN", "eval --help"),
    ("eval nowhere", "nowhere is not a run folder", "--out"),
    ("eval nowhere --step-rescale 0", "above 0", "eval --help"),
    ("eval nowhere --step-rescale nan", "above 0", "eval --help"),
    ("eval nowhere --split tset", "Did you mean test?", "eval --help"),
    ("eval nowhere --checkpoint first", "one of best, last", "eval --help"),
    ("show", "required: RUN", "show --help"),
    ("show nowhere", "nowhere is not a run folder", "--out"),
    ("compare", "required: RUN", "compare --help"),
    ("report", "required: RUN", "report --help"),
    ("report one", "one is not a run folder", "--out"),
    ("compare one one", "two different runs; got one", "s5ref show one"),
    ("compare one two", "one is not a run folder", "--out"),
    ("recipes smnits", "Unknown recipe 'smnits'", "Did you mean smnist?"),
    ("data", "required: RECIPE", "data --help"),
    ("data smnits", "smnits", "Did you mean smnist?"),
    ("data digits --make", "nothing to make", ""),
    ("data smnist --make --check", "not allowed with", "data --help"),
    ("verify --level ful", "Did you mean full?", "verify --help"),
    ("verify --engine cud", "Did you mean cuda?", "verify --help"),
    ("doctor x", "Unknown argument 'x'", "doctor --help"),
]


@pytest.mark.parametrize(("line", "message", "remedy"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_refused(cli: Cli, line: str, message: str, remedy: str) -> None:
    ran = cli(*line.split())
    assert ran.code == 2
    assert ran.out == ""
    assert message in ran.err
    assert remedy in ran.err
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


@pytest.mark.parametrize(("line", "message", "remedy"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_refused_in_json(cli: Cli, line: str, message: str, remedy: str) -> None:
    ran = cli(*line.split(), "--json")
    assert ran.code == 2
    error = ran.json.pop("error")
    assert set(error) == {"message", "remedy"}
    assert message in error["message"]
    assert remedy in error["remedy"]


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this is about an absent GPU")
@pytest.mark.parametrize(
    "line",
    ["train digits --device cuda", "verify --engine cuda", "train digits --dry-run --device cuda --tf32"],
)
def test_cuda_is_refused_where_it_cannot_be_had(cli: Cli, line: str) -> None:
    ran = cli(*line.split(), "--json")
    assert ran.code == 2
    assert "The GPU cannot be used: NVIDIA driver: none found" in ran.json["error"]["message"]
    assert "Install NVIDIA's driver" in ran.json["error"]["remedy"]


def _raising(error: BaseException) -> Any:
    def run(*_: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ZeroDivisionError("by zero"), 70, "ZeroDivisionError: by zero"),
        (AssertionError(), 70, "AssertionError"),
        (ModuleNotFoundError("No module named 'scipy'", name="scipy"), 2, "scipy is not installed"),
        (ModuleNotFoundError("No module named 's5ref.x'", name="s5ref.x"), 70, "s5ref.x"),
        (MemoryError(), 2, "Not enough memory"),
        (PermissionError(13, "Permission denied", "/nowhere/x"), 2, "/nowhere/x"),
    ],
)
def test_whatever_happens_is_no_success(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    monkeypatch.setattr(recipes, "run", _raising(error))
    ran = cli("recipes", "--json")
    assert ran.code == code
    assert words in ran.json["error"]["message"]
    assert ran.json["error"]["remedy"]
    assert ("Traceback" in ran.err) == (code == 70)


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_interruptions(cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    from s5ref.cli import main

    monkeypatch.setattr(main, "silence", lambda stream: None)
    monkeypatch.setattr(recipes, "run", _raising(error))
    ran = cli("recipes", "--json")
    assert ran.code == code
    if code == 130:
        assert ran.json == {"interrupted": 2}


def test_stray_prints_do_not_touch_the_json(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: object, out: Any) -> int:
        builtins.print("a library talks")
        out.say("so do we")
        out.result({"x": float("nan"), "y": 1})
        return 0

    monkeypatch.setattr(recipes, "run", run)
    ran = cli("recipes", "--json")
    assert ran.json == {"x": None, "y": 1}
    assert ran.err == "a library talks\nso do we\n"


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_overview_names_every_command(cli: Cli, argv: list[str]) -> None:
    ran = cli(*argv)
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(cli: Cli, name: str) -> None:
    ran = cli(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"usage: s5ref {name}")
    assert f"\n  s5ref {name}" in ran.out.partition("examples:")[2]


def test_version(cli: Cli) -> None:
    import s5ref

    assert cli("--version").out == f"s5ref {s5ref.__version__}\n"
