"""``s5ref export``: files of runs, compared with the model after writing; what does not go together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import S5Classifier, S5FeatureClassifier
from s5ref.estimators import folder
from s5ref.interop import exported
from s5ref.interop import folder as runs

Cli = Callable[..., Any]
FACTS = {"file": "", "description": "", "method": "", "seconds": 1.0, "read": {"task": "classes"}}


def run_folder(path: str, task: str = "digits", **change: Any) -> None:
    from s5ref import Model, ModelConfig
    from s5ref.interop.weights import Weights
    from s5ref.train.config import RunConfig

    config = ModelConfig(
        **{"n_layers": 1, "d_model": 4, "ssm_size": 4, "in_dim": 1, "n_classes": 10} | change
    )
    params, statistics = Model(config).init(3)
    runs.write(path, Weights(params, statistics, "run", True), RunConfig(task, config), "made here")


@pytest.mark.onnx
@pytest.mark.cxx
def test_every_kind_of_file_is_written_and_compared(cli: Cli) -> None:
    run_folder("run", padding="masked")
    run_folder("tokens", "listops", in_dim=20)
    for words, by, inputs in (
        ("run whole.onnx --intervals", "onnxruntime", "inputs (N, L, 1), lengths (N), intervals (N, L)"),
        ("run step.onnx --step", "onnxruntime", "inputs (N, 1), state (N, 9)"),
        ("run model.c --name mine", "cc", None),
        ("tokens tokens.onnx", "onnxruntime", "inputs (N, L)"),
    ):
        said = cli("export", *words.split(), "--json")
        assert (said.code, said.json["checked_by"], said.json.get("inputs")) == (0, by, inputs)
        assert 0 < said.json["bytes"] == Path(words.split()[1]).stat().st_size
    assert "void mine_step(mine_state *state, const float *u, float *output)" in Path("model.c").read_text()


@pytest.mark.onnx
def test_a_file_that_differs_is_not_good(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder("run")
    output = exported.onnx_output
    monkeypatch.setattr(exported, "onnx_output", lambda proto, feed: output(proto, feed) * np.float32(1.001))
    said = cli("export", "run", "model.onnx")
    assert said.code == 1
    assert "NOT what the model computes" in said.out


def test_without_a_compiler_it_says_that_it_did_not_check(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder("run")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = cli("export", "run", "model.c")
    assert said.code == 0
    assert "unchecked There is no C compiler" in said.out


@pytest.mark.onnx
def test_a_run_of_fit(cli: Cli) -> None:
    X, y = np.random.default_rng(0).standard_normal((8, 6)), ["a", "b"] * 4
    for name, estimator in (
        ("gradient", S5Classifier(4, 4, 1, n_estimators=1, steps=2, engine="numpy", random_state=0)),
        ("features", S5FeatureClassifier(random_state=0)),
    ):
        Path(name).mkdir()
        folder.write(Path(name), estimator.fit(X, y), FACTS)
    said = cli("export", "gradient", "model.onnx", "--json").json
    assert said["checked_by"] == "onnxruntime"
    assert "ridge" in said["without"]
    assert "scans in both directions" in cli("export", "gradient", "model.c").err
    assert "--method gradient" in cli("export", "features", "new.onnx").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model.txt", "must end in .onnx or .c"),
        ("model.c --step", "one time step already"),
        ("model.onnx --name x", "has no prefix"),
        ("model.c --lengths", "has no length"),
        ("step.onnx --step --intervals", "a regular one"),
        ("run", "exists; nothing is overwritten"),
    ],
)
def test_what_does_not_go_together(cli: Cli, words: str, message: str) -> None:
    run_folder("run")
    said = cli("export", "run", *words.split())
    assert said.code == 2
    assert message in said.err
