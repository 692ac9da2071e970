"""The commands that look: recipes, data, doctor, verify."""

from __future__ import annotations

import gzip
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s5ref import recipes, verification
from s5ref.data import digits
from s5ref.model.config import ModelConfig
from s5ref.model.leaves import parameter_count
from s5ref.model.model import Model

Cli = Callable[..., Any]
KNOWN = {
    "smnist": 138634, "listops": 188490, "text": 1321154, "image": 5133706, "pathfinder": 1113602,
    "pathx": 694018,
    "speech35": 283523,
}  # fmt: skip


def test_recipes_table(cli: Cli) -> None:
    ran = cli("recipes")
    assert ran.code == 0
    assert all(f" {name} " in ran.out for name in recipes.names())
    assert max(map(len, ran.out.splitlines())) < 130


def test_recipes_json(cli: Cli) -> None:
    found = {entry["name"]: entry for entry in cli("recipes", "--json").json["recipes"]}
    assert list(found) == recipes.names()
    assert {name: found[name]["parameters"] for name in KNOWN} == KNOWN
    facts = {name: (entry["trainable"], entry["here"], entry["lacks"]) for name, entry in found.items()}
    assert facts["digits"] == (True, True, "")
    assert facts["smnist"] == (True, False, "s5ref data smnist --make")


def test_one_recipe_is_its_toml(cli: Cli) -> None:
    assert tomllib.loads(cli("recipes", "pathx").out)["model"]["c_init"] == "complex_normal"
    assert cli("recipes", "pathx", "--json").json["config"]["train"]["batch"] == 32


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "gelu"}, {"activation": "full_glu"}, {"bidirectional": True}, {"conj_sym": False},
        {"head": "retrieval"}, {"norm": "layer"}, {"blocks": 2, "n_layers": 3}, {"in_dim": 7},
        {"c_init": "complex_normal", "bidirectional": True}, {"head": "regression", "n_classes": 2},
        {"head": "pooled_regression", "pooling": "max"},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_are_counted_as_the_model_makes_them(change: dict[str, Any]) -> None:
    config = replace(ModelConfig(n_layers=2, d_model=6, ssm_size=8), **change)
    assert parameter_count(config) == sum(leaf.size for leaf in Model(config).init(0)[0].values())


def test_data_that_comes_along(cli: Cli) -> None:
    assert cli("data", "digits").code == 0
    found = cli("data", "digits", "--check", "--json").json
    assert found["ok"] is True
    assert found["counts"] == {"train": 1257, "validation": 180, "test": 360}


@pytest.mark.parametrize("option", [[], ["--check"]])
def test_missing_data_is_a_no(cli: Cli, option: list[str]) -> None:
    ran = cli("data", "smnist", "--data", ".", *option, "--json")
    assert ran.code == 1
    assert ran.json["ok"] is False
    assert "not found" in ran.json["problem"]
    assert "mnist" in ran.json["remedy"]


@pytest.fixture
def wrong_mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(b"not an idx file"))
    return folder.parent


def test_wrong_files_are_found_and_refused(cli: Cli, wrong_mnist: Path) -> None:
    assert cli("data", "smnist", "--data", wrong_mnist).code == 0  # they are there
    checked = cli("data", "smnist", "--data", wrong_mnist, "--check", "--json")
    assert checked.code == 1
    assert "train-images" in checked.json["problem"]
    trained = cli("train", "smnist", "--data", wrong_mnist, "--json")
    assert trained.code == 2
    assert "train-images" in trained.json["error"]["message"]


def test_data_is_made(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from s5ref import data

    def make(name: str, folder: str, report: Any) -> Path:
        report("half way")
        return Path(folder) / name

    monkeypatch.setattr(data, "make", make)
    ran = cli("data", "smnist", "--make", "--data", "here", "--json")
    assert ran.code == 0
    assert ran.json == {"recipe": "smnist", "ok": True, "folder": str(Path("here/smnist"))}
    assert "half way" in ran.err


def test_doctor(cli: Cli) -> None:
    found = cli("doctor", "--json")
    assert found.code == 0
    facts = found.json
    assert facts["ok"] is True
    assert {"python", "core", "cpu", "blas", "longdouble", "extras", "gpu", "cache", "data"} <= set(facts)
    shown = cli("doctor")
    assert shown.code == 0
    assert "The core works" in shown.out


def test_doctor_checks_what_a_gpu_needs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from s5ref.gpu import machine
    from s5ref.gpu.driver import Driver, Gpu

    here = machine.Machine(
        driver=Driver("580.65.06", 13000, (Gpu("NVIDIA H100 80GB HBM3", 80 << 30, "9.0"),)),
        wheels={"cupy": "14.2.0", "cupy-cuda13x": "14.2.0"}, cupy="14.2.0", cuda=13020,
        nvrtc=machine.Found("/lib/libnvrtc.so.13", "13.0"), nvcc="/usr/bin/nvcc",
    )  # fmt: skip
    monkeypatch.setattr(machine, "survey", lambda: here)
    ran = cli("doctor")
    assert ran.code == 0
    for words in (
        "580.65.06, runs CUDA up to 13.0", "0: NVIDIA H100 80GB HBM3, 80 GiB, compute capability 9.0",
        "→ Uninstall all of them, then install one: pip uninstall -y cupy cupy-cuda13x && pip install",
        "13.0, /lib/libnvrtc.so.13", "libcublasLt.so.13 not found", '→ pip install "s5ref[cuda13]"',
        "/usr/bin/nvcc; not needed", "several GPUs",
    ):  # fmt: skip
        assert words in ran.out
    gpu = cli("doctor", "--json").json["gpu"]
    assert gpu["usable"] is False
    assert gpu["machine"]["driver"]["gpus"][0]["memory"] == 80 << 30
    assert {check["name"]: check["ok"] for check in gpu["checks"] if check["needed"]} == {
        "NVIDIA driver": True, "GPUs": True, "CuPy": True, "one CuPy": False, "CUDA versions": True,
        "NVRTC": True, "cuBLASLt": False, "engine cuda": False,
    }  # fmt: skip


def test_no_gpu_is_no_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from s5ref.gpu import machine

    monkeypatch.setattr(machine, "survey", machine.Machine)
    ran = cli("doctor")
    assert ran.code == 0
    assert "The core works" in ran.out
    assert 'pip install "s5ref[cuda13]"' in ran.out


def test_doctor_names_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from s5ref.cli import doctor

    monkeypatch.setattr(doctor, "CORE", ("numpy", "no_such_package"))
    ran = cli("doctor")
    assert ran.code == 1
    assert "pip install no-such-package" in ran.out
    monkeypatch.setattr(doctor, "EXTRAS", {"data": ("no-such-package", "downloads")})
    assert 'pip install "s5ref[data]"' in cli("doctor").out


def _report(*passed: bool, selected: int | None = None) -> Any:
    rows = [
        verification.Row("group", f"check {i}", "numpy", "float64", 0.1, 1.0, ok)
        for i, ok in enumerate(passed)
    ]
    n = len(rows)
    return verification.Report(
        n if selected is None else selected, n, sum(passed), n - sum(passed), 0.1, rows
    )


@pytest.mark.parametrize(
    ("report", "code", "words"),
    [
        (_report(True, True), 0, "2 of 2 checks passed, 2 of 2 selected ran"),
        (_report(True, False), 1, "1 FAILED"),
        (_report(True, True, selected=3), 1, "1 did not run"),
        (_report(), 1, "0 of 0"),
    ],
)
def test_verify_is_good_only_if_everything_selected_passed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, report: Any, code: int, words: str
) -> None:
    monkeypatch.setattr(verification, "verify", lambda **_: report)
    shown = cli("verify", "--engine", "numpy")
    assert (shown.code, words in shown.out) == (code, True)
    assert len(shown.out.splitlines()) <= 4  # one group
    every = cli("verify", "--engine", "numpy", "--verbose").out
    assert all(row.name in every for row in report.rows)
    ran = cli("verify", "--engine", "numpy", "--json")
    assert ran.code == code
    assert {"selected", "ran", "passed", "failed", "seconds"} <= set(ran.json)
    assert len(ran.json["rows"]) == report.ran


def test_digits_are_not_read_to_list_recipes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "read", lambda *_: pytest.fail("read"))
    assert cli("recipes").code == 0
