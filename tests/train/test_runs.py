"""A run is bound to its configuration, and what its folder holds is checked when it is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from s5ref import NUMPY, DataError
from s5ref.data.batches import Dataset
from s5ref.train import checkpoint, runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.seeds import fit_seeds

EDITED = ["optim.lr=0.1", "optim.weight_decay=0.5", "model.prenorm=false", "model.gelu=erf",
          "model.discretization=bilinear"]  # fmt: skip
NO_SEEDS = ['{"seed":0', "null", "5", "{}", "[]", '["a"]', "[0, 0]", "[-1]", "[true]"]
NO_FACTS = ['{"seed":0', "null", "5", "{}", '{"seed": "0"}', '{"seed": 0}', '{"seed": 0, "data": []}']
NO_LINES = [
    "5",
    "{}",
    "null",
    '{"step":',
    '{"step": 1}',
    '{"epoch": 1}',
    '{"step": "1", "epoch": 1, "loss": 1}',
]


def _edit(run: Path, config: RunConfig) -> list[str]:
    """Change config.toml; the sentences that name the changes."""
    edited = config.override(EDITED)
    (run / "config.toml").write_text(edited.to_toml(), encoding="utf-8")
    return [
        f"config.toml: {key} is {there} in the file and {here} in the checkpoint, which counts."
        for key, (here, there) in config.differences(edited).items()
    ]


def test_the_configuration_of_the_checkpoint_counts(
    config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=5)
    before = runs.load(tmp_path)
    assert (before.config, before.warnings) == (config, ())
    sentences = _edit(tmp_path, config)
    assert len(sentences) == 5
    after = runs.load(tmp_path)
    assert (after.config, after.model.config, after.warnings) == (config, config.model, tuple(sentences))
    assert runs.own_config(tmp_path) == (config, sentences)
    resumed = fit(config, digits, tmp_path, engine=NUMPY, resume=True, stop_after=6)
    assert resumed.warnings == sentences
    assert runs.load(tmp_path, "last").config == config


def test_a_checkpoint_without_a_configuration_has_that_of_the_file(
    config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=5)
    for which in runs.CHECKPOINTS:
        arrays, meta = checkpoint.load(path := runs.checkpoint_path(tmp_path, which))
        checkpoint.save(path, arrays, {key: meta[key] for key in meta if not key.startswith("config")})
    slower = config.override(["optim.lr=0.0001"])
    (tmp_path / "config.toml").write_text(slower.to_toml(), encoding="utf-8")
    assert runs.own_config(tmp_path) == (slower, [])
    assert fit(slower, digits, tmp_path, engine=NUMPY, resume=True, stop_after=6).steps == 6
    assert runs.load(tmp_path, "last").warnings == ()
    assert runs.load(tmp_path, "last").config == slower


def test_a_configuration_that_does_not_match_its_digest_is_refused(
    config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=1)
    arrays, meta = checkpoint.load(path := runs.checkpoint_path(tmp_path, "last"))
    checkpoint.save(path, arrays, meta | {"config": meta["config"].replace("lr", "Lr", 1)})
    with pytest.raises(DataError, match=r"last.state\.npz is damaged: its configuration"):
        runs.load(tmp_path, "last")


@pytest.mark.parametrize("text", NO_SEEDS)
def test_seeds_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"seeds\.json must hold"):
        runs.read_seeds(tmp_path)


def test_seeds_are_read_on_resume(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit_seeds(config, digits, tmp_path, [4, 5], engine=NUMPY, stop_after=1)
    assert runs.read_seeds(tmp_path) == [4, 5]
    assert runs.own_config(tmp_path) == (config, [])
    sentences = _edit(tmp_path, config)
    assert runs.own_config(tmp_path) == (config, sentences)
    (tmp_path / "seeds.json").write_text("null", encoding="utf-8")
    with pytest.raises(DataError, match=r"seeds\.json must hold"):
        fit_seeds(config, digits, tmp_path, engine=NUMPY, resume=True)


def test_an_environment_that_is_none(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, seed=3, stop_after=1)
    for text in NO_FACTS:
        (tmp_path / "environment.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"environment\.json must hold") as caught:
            fit(config, digits, tmp_path, engine=NUMPY, resume=True, stop_after=2)
        assert caught.value.remedy.startswith("Delete the file")
    (tmp_path / "environment.json").unlink()
    assert fit(config, digits, tmp_path, engine=NUMPY, resume=True, stop_after=2).seed == 3
    assert json.loads((tmp_path / "environment.json").read_text())["seed"] == 3


@pytest.mark.parametrize("line", NO_LINES)
def test_a_line_that_is_no_record(line: str, config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=3)
    path = tmp_path / "metrics.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *others]) + "\n")
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: must be the record")) as caught:
        fit(config, digits, tmp_path, engine=NUMPY, resume=True, stop_after=4)
    assert caught.value.remedy.startswith("Delete the line")
    path.write_text("\n".join([first, *others]) + "\n")
    assert fit(config, digits, tmp_path, engine=NUMPY, resume=True, stop_after=4).warnings == []
