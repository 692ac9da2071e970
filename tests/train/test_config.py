"""Configurations: round trip, recipes, overrides and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref import Model, S5Error, recipes
from s5ref.data.tasks import TASKS
from s5ref.optim import OptimConfig
from s5ref.train.config import RunConfig, TrainConfig

PARAMETERS = {
    "smnist": 138_634,
    "listops": 188_490,
    "text": 1_321_154,
    "retrieval": 772_098,
    "image": 5_133_706,
    "pathfinder": 1_113_602,
    "pathx": 694_018,
    "speech35": 283_523,
}


def test_there_is_a_recipe_for_every_task_and_it_fits_the_task() -> None:
    assert sorted(recipes.names()) == sorted(TASKS)
    for name in recipes.names():
        config, task = RunConfig.recipe(name), TASKS[name]
        assert config.task == name
        assert (config.model.in_dim, config.model.n_classes) == (task.in_dim, task.n_classes)
        assert config.model.head == task.head
        assert recipes.text(name).startswith("# ")


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_golden_parameter_counts(name: str, parameters: int) -> None:
    params, _ = Model(RunConfig.recipe(name).model).init(0)
    assert sum(p.size for p in params.values()) == parameters


def test_golden_parameter_count_of_a_small_smnist() -> None:
    config = RunConfig.recipe("smnist").override(
        ["model.n_layers=2", "model.d_model=64", "model.ssm_size=64"]
    )
    assert sum(p.size for p in Model(config.model).init(0)[0].values()) == 26_058


@pytest.mark.parametrize("name", recipes.names())
def test_toml_round_trip(name: str, tmp_path: Path) -> None:
    config = RunConfig.recipe(name)
    (tmp_path / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    assert RunConfig.from_toml(tmp_path / "config.toml") == config


def test_overrides_are_toml_values() -> None:
    config = RunConfig.recipe("digits").override(
        [
            "model.n_layers=7",
            "model.norm=layer",
            'train.dtype="float64"',
            "optim.lr=1",
            "model.bidirectional=false",
        ]
    )
    assert config.model.n_layers == 7
    assert config.model.norm == "layer"
    assert config.train.dtype == "float64"
    assert config.optim.lr == 1.0
    assert isinstance(config.optim.lr, float)
    assert config.model.bidirectional is False


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.nlayers=2", ["model.nlayers", "model.n_layers"]),
        ("modle.n_layers=2", ["modle", "model"]),
        ("model.n_layers=2.5", ["model.n_layers", "integer", "2.5"]),
        ("model.n_layers=true", ["model.n_layers", "integer", "True"]),
        ("model.bidirectional=1", ["true or false"]),
        ("model.n_layers=zwei", ["model.n_layers=zwei", "TOML"]),
        ("model.n_layers", ["section.key=value"]),
        ("n_layers=2", ["section.key=value"]),
        ("train.epochs=-1", ["train.epochs", "≥ 0"]),
        ("train.batch=-3", ["train.batch", "-3"]),
        ("train.dtype=float16", ["train.dtype", "float32"]),
        ("optim.lr=nan", ["optim.lr", "finite"]),
        ("optim.lr=0.0", ["optim.lr", "> 0"]),
        ("optim.weight_decay=-0.1", ["optim.weight_decay"]),
        ("optim.schedule=cosine", ["warmup_cosine"]),
        ("optim.opt_config=Standard", ["standard"]),
        ("model.blocks=5", ["blocks"]),
    ],
)
def test_refusals_name_the_key_and_the_nearest(setting: str, words: list[str]) -> None:
    with pytest.raises(S5Error) as caught:
        RunConfig.recipe("digits").override([setting])
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "task = 3",
        "task = 'digits'\nmodel = 3",
        "task = 'digits'\n[models]",
        "task = 'digits'\n[model]\nn_layer = 3",
        "task = 'digits'\nfoo = 1",
        "task = ",
    ],
)
def test_bad_toml_is_refused(text: str) -> None:
    with pytest.raises(S5Error):
        RunConfig.from_toml_text(text)


def test_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(S5Error, match="smnist"):
        RunConfig.recipe("sminst")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(S5Error, match="cannot be read"):
        RunConfig.from_toml(tmp_path / "none.toml")


def test_direct_construction_is_checked_too() -> None:
    with pytest.raises(S5Error, match=r"optim\.lr must be a number"):
        OptimConfig(lr="fast")  # type: ignore[arg-type]
    assert TrainConfig(checkpoint_seconds=5).checkpoint_seconds == 5.0
