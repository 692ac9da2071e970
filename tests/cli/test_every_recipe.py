"""Every recipe trains by one command on small files in the real format of its data, and learns a batch."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_formats import aan_files, cifar, imdb_tree, pathfinder, speech, tar, write_tree

from s5ref import recipes
from s5ref.data import READERS, listops_files, make, parsed

Cli = Callable[..., Any]
TINY = [
    "--engine", "numba", "--set", "model.n_layers=1", "model.d_model=8", "model.ssm_size=4", "model.blocks=1",
    "train.batch=4",
]  # fmt: skip
DATA: dict[str, Callable[[Path], object]] = {
    "digits": lambda folder: None,
    "scifar": lambda folder: write_tree(folder, cifar("py")),
    "listops": lambda folder: listops_files.make(folder / "listops", 0, (40, 8, 8)),
    "text": lambda folder: write_tree(folder, imdb_tree(20)),
    "retrieval": lambda folder: write_tree(folder, aan_files(40)),
    "image": lambda folder: write_tree(folder, {"cifar-10-binary.tar.gz": gzip.compress(tar(cifar("bin")))}),
    "pathfinder": lambda folder: write_tree(folder, pathfinder(32, 50)),
    "pathx": lambda folder: write_tree(folder, pathfinder(128, 50)),
    "pendulum": lambda folder: make("pendulum", folder, sizes=(8, 4, 4)),
    "speech35": lambda folder: write_tree(folder / "speech_commands_v0.02", speech(n=16)),
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.setattr(parsed, "cache_dir", lambda: tmp_path / "cache")

    def files(name: str) -> Path:
        if name.startswith("path") or name == "pendulum":
            pytest.importorskip("PIL")
        folder = tmp_path / "data"
        folder.mkdir()
        DATA[name](folder)
        return folder

    return files


def test_every_recipe_has_a_reader_and_a_test() -> None:
    """MNIST's files are accepted only with the official sums, so that no small ones can stand for them."""
    other = {"smnist", "psmnist"}
    assert set(READERS) | other == DATA.keys() | other == set(recipes.names())


@pytest.mark.parametrize("name", DATA)
def test_it_trains_twenty_steps(cli: Cli, data: Callable[[str], Path], name: str) -> None:
    ran = cli("train", name, "--data", data(name), "--steps", "20", "--out", "run", "--json", *TINY)
    assert ran.code == 0
    assert ran.json["steps"] == 20
    accuracy, mse = ran.json["test_accuracy"], ran.json["test_mse"]
    assert mse > 0 if name == "pendulum" else 0 <= accuracy <= 1
    assert not Path("data", "parsed").exists()


@pytest.mark.parametrize("name", DATA)
def test_it_learns_one_batch(cli: Cli, data: Callable[[str], Path], name: str) -> None:
    ran = cli("train", name, "--data", data(name), "--overfit", "--json", *TINY)
    assert ran.code == 0
    assert ran.json["learned"] is True


def test_eval_at_half_the_rate(cli: Cli, data: Callable[[str], Path]) -> None:
    folder = data("speech35")
    cli("train", "speech35", "--data", folder, "--steps", "4", "--out", "run", "--json", *TINY)
    ask = ("eval", "run", "--data", folder, "--json")
    whole, half = cli(*ask).json, cli(*ask, "--every", "2", "--step-rescale", "2").json
    assert (half["every"], half["step_rescale"]) == (2, 2.0)
    assert abs(half["loss"] - whole["loss"]) < 0.05 * whole["loss"]  # Δ doubled sees the same wave
    assert cli(*ask, "--every", "2").json["loss"] != half["loss"]
    shown = cli("eval", "run", "--data", folder, "--every", "2", "--step-rescale", "2")
    assert ", every 2 steps, Δ × 2" in shown.out
