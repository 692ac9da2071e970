"""Runs on one's own arrays, and their predictions, from the shell and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, Model, ModelConfig, data
from s5ref.train import TrainConfig, runs, train

Cli = Callable[..., Any]
RNG = np.random.default_rng(0)
X, LENGTHS = RNG.standard_normal((40, 6, 1)), RNG.integers(2, 7, 40)
ARRAYS = {name: (X, np.arange(40) % 2, LENGTHS) for name in ("train", "validation", "test")}
MODEL = Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4, in_dim=1, n_classes=2, padding="masked"))


class Stop(Exception):
    """Ends a run after its first epoch."""


def stop(progress: Any) -> None:
    if progress.phase == "epoch":
        raise Stop


@pytest.fixture(autouse=True)
def _own_run(_folder: None) -> None:
    """`run`, stopped after one of three epochs; its arrays in mine.npz."""
    with pytest.raises(Stop):
        train(MODEL, ARRAYS, TrainConfig(batch=16, epochs=3), run="run", engine=NUMPY, callbacks=[stop])
    data.save_arrays("mine.npz", ARRAYS)
    np.savez("new.npz", inputs=X, lengths=LENGTHS)


def test_a_run_of_pythons_train_is_resumed_evaluated_and_predicted(cli: Cli) -> None:
    resumed = cli("train", "run/config.toml", "--data", "mine.npz", "--resume", "--json")
    assert (resumed.json["steps"], resumed.json["epochs"], resumed.json["run"]) == (9, 3, "run")
    whole = train(MODEL, ARRAYS, TrainConfig(batch=16, epochs=3), engine=NUMPY)
    last = runs.load("run", "last")
    assert all(last.params[name].tobytes() == x.tobytes() for name, x in whole.last.params.items())

    scored = cli("eval", "run", "--data", "mine.npz", "--engine", "numpy", "--json").json
    assert (scored["recipe"], scored["examples"], scored["source"]) == ("arrays", 40, "user arrays")
    assert scored["accuracy"] == whole.test_accuracy

    labels = whole.predict(X, LENGTHS, engine=NUMPY)
    said = cli("predict", "run", "new.npz", "--engine", "numpy")
    assert said.out.splitlines() == [str(label) for label in labels]
    written = cli("predict", "run", "new.npz", "--engine", "numpy", "--out", "said.npz", "--json")
    assert written.json["predictions"] == labels.tolist()
    with np.load("said.npz") as file:
        np.testing.assert_array_equal(file["predictions"], labels)
        np.testing.assert_array_equal(file["outputs"], whole.outputs(X, LENGTHS, engine=NUMPY))


def test_a_run_begun_in_the_shell_is_resumed_by_python(cli: Cli) -> None:
    Path("mine.toml").write_text(Path("run/config.toml").read_text(encoding="utf-8"), encoding="utf-8")
    begun = cli(
        "train", "mine.toml", "--data", "mine.npz", "--steps", "4", "--out", "two", "--engine", "numpy"
    )
    assert begun.code == 0
    result = train(MODEL, ARRAYS, run="two", resume=True, engine=NUMPY)
    assert (result.steps, result.recipe) == (9, "arrays")
    assert cli("train", "mine.toml", "--data", "mine.npz", "--overfit", "--steps", "1").code == 1
    planned = cli("train", "mine.toml", "--data", "mine.npz", "--dry-run", "--json")
    assert planned.json["steps"] == 9  # three updates of 16 of the 40 examples, three epochs


def test_without_a_test_split_the_advice_names_the_validation(cli: Cli) -> None:
    data.save_arrays("two.npz", {name: ARRAYS[name] for name in ("train", "validation")})
    ran = cli("train", "run/config.toml", "--data", "two.npz", "--steps", "3", "--out", "two")
    advice = ran.out.splitlines()[-1].split()
    assert advice == ["next", "s5ref", "eval", "two", "--data", "two.npz", "--split", "validation"]
    assert cli(*advice[2:]).code == 0
    refused = cli("eval", "two", "--data", "two.npz", "--json").json["error"]
    assert refused["remedy"] == "Say --split train or validation."


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("eval run", ["'arrays' is one's own arrays", "got no --data", "save_arrays", "--data FILE.npz"]),
        ("train run/config.toml --dry-run", ["got no --data", "--data FILE.npz"]),
        ("eval run --data .", ["got --data .", "--data FILE.npz"]),
        ("train --resume --out run", ["got no --data", "--data FILE.npz"]),
        ("train digits --data mine.npz", ["not one's own arrays", "s5ref recipes digits > mine.toml"]),
        ("train run/config.toml --data mine.npz --set model.padding=upstream",
         ["unequal", "model.padding=masked"]),
        ("predict run mine.npz", ["got test_inputs too", "inputs=…"]),
        ("predict run new.npz --out said.txt", ["must end in .npz"]),
        ("predict run none.npz", ["none.npz: cannot be read"]),
    ],
)  # fmt: skip
def test_refused_with_the_remedy(argv: str, words: list[str], cli: Cli) -> None:
    ran = cli(*argv.split(), "--json")
    assert ran.code == 2
    text = " ".join(ran.json["error"].values())
    assert [word for word in words if word not in text] == []


def test_a_recipe_becomes_ones_own_as_the_refusal_says(cli: Cli) -> None:
    recipe = cli("recipes", "digits").out.replace('task = "digits"', 'task = "arrays"')
    own = recipe.replace("n_classes = 10", "n_classes = 2").replace("upstream", "masked")
    Path("mine.toml").write_text(own, encoding="utf-8")
    small = ["--set", "train.batch=20", "model.n_layers=1", "model.d_model=4", "model.ssm_size=4"]
    ran = cli("train", "mine.toml", "--data", "mine.npz", "--steps", "1", "--engine", "numpy", *small)
    assert ran.code == 0
    assert "arrays: test accuracy" in ran.out


def test_the_values_of_a_regression_go_into_a_file(cli: Cli) -> None:
    model = Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4, in_dim=1, n_classes=1, head="regression"))
    arrays = {"train": (X, X), "validation": (X, X)}
    train(model, arrays, TrainConfig(epochs=1), run="values", engine=NUMPY)
    data.save_arrays("values.npz", arrays)
    planned = cli("train", "values/config.toml", "--data", "values.npz", "--dry-run")
    assert "on random targets" in planned.out
    np.savez("new.npz", inputs=X)
    refused = cli("predict", "values", "new.npz", "--json")
    assert (refused.code, refused.json["error"]["remedy"]) == (2, "Add --out OUT.npz.")
    assert cli("predict", "values", "new.npz", "--out", "said.npz").code == 0
    with np.load("said.npz") as file:
        assert file["predictions"].shape == (40, 6, 1)
