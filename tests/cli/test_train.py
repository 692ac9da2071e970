"""``s5ref train`` and ``s5ref eval`` on the digits, with the keys that other programs rely on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s5ref.train import runs

Cli = Callable[..., Any]
PARAMETERS = 220  # of the tiny model
TRAIN_KEYS = {
    "recipe", "parameters", "steps", "seconds", "test_accuracy", "best_val_accuracy", "run", "learned",
    "selected",
    "selected_on", "seed", "source", "interrupted",
}  # fmt: skip


def test_train_then_eval_with_curves(tiny: Cli, cli: Cli) -> None:
    found = tiny("--out", "run", "--json")
    assert found.code == 0
    result = found.json
    assert set(result) >= TRAIN_KEYS
    assert (result["recipe"], result["parameters"], result["steps"]) == ("digits", PARAMETERS, 12)
    assert 0 <= result["test_accuracy"] <= 1
    assert 0 <= result["best_val_accuracy"] <= 1
    assert result["run"] == "run"
    for name in (
        "last/state.npz",
        "best/state.npz",
        "metrics.jsonl",
        "config.toml",
        "environment.json",
        "curves.svg",
    ):
        assert Path("run", name).is_file()

    scored = cli("eval", "run", "--engine", "numpy", "--json").json
    assert (scored["split"], scored["examples"], scored["checkpoint"]) == ("test", 360, "best")
    assert scored["accuracy"] == result["test_accuracy"]
    assert scored["loss"] == pytest.approx(result["test_loss"], rel=1e-6)
    assert cli("eval", "run", "--split", "validation", "--json").json["accuracy"] == pytest.approx(
        result["best_val_accuracy"], abs=0.012
    )
    rescaled = cli(
        "eval", "run", "--checkpoint", "last", "--step-rescale", "2", "--engine", "numpy", "--json"
    ).json
    assert rescaled["step_rescale"] == 2
    assert (
        rescaled["loss"]
        != cli("eval", "run", "--checkpoint", "last", "--engine", "numpy", "--json").json["loss"]
    )


def test_people_are_told_what_happened_and_what_next(tiny: Cli, cli: Cli) -> None:
    ran = tiny("--steps", "5", "--out", "a run")
    assert ran.code == 0
    assert "test accuracy" in ran.out
    assert f"{PARAMETERS} parameters, 5 steps" in ran.out
    assert "next      s5ref eval 'a run'" in ran.out
    assert "run folder a run" in ran.err
    shown = cli("eval", "a run", "--engine", "sequential")
    assert shown.code == 0
    assert "360 examples (embedded)" in shown.out


def test_steps_stop_and_leave_the_schedule_alone(tiny: Cli) -> None:
    assert tiny("--steps", "2", "--out", "run", "--json").json["steps"] == 2
    assert runs.read_config("run").train.epochs == 3
    assert tiny("--steps", "2", "--json").json["selected"] == "last"


def test_epochs_are_a_setting(cli: Cli, settings: list[str]) -> None:
    config = ["--engine", "numpy", "--set", *settings[1:-1]]
    ran = cli("train", "digits", *config, "--epochs", "2", "--out", "run", "--json")
    assert ran.json["steps"] == 8
    assert runs.read_config("run").train.epochs == 2


def test_default_folders_count_up(tiny: Cli) -> None:
    names = [tiny("--steps", "1", "--json").json["run"] for _ in range(2)]
    assert names == [str(Path("runs/digits-1")), str(Path("runs/digits-2"))]


def test_recipe_may_follow_the_settings_or_be_a_file(cli: Cli, settings: list[str]) -> None:
    Path("mine.toml").write_text(cli("recipes", "digits").out, encoding="utf-8")
    one = cli("train", "--dry-run", *settings, "digits", "--json").json
    two = cli("train", "mine.toml", "--dry-run", *settings, "--json").json
    assert one["parameters"] == two["parameters"] == PARAMETERS
    assert one["init_loss"] == two["init_loss"]


def test_several_seeds(tiny: Cli, cli: Cli) -> None:
    ran = tiny("--seeds", "0,3", "--steps", "5", "--out", "run", "--json")
    assert ran.code == 0
    result = ran.json
    assert set(result) >= {*TRAIN_KEYS - {"seed"}, "seeds", "std", "not_learned"}
    assert [one["seed"] for one in result["seeds"]] == [0, 3]
    assert set(result["seeds"][0]) >= {"seed", "test_accuracy", "best_val_accuracy", "learned"}
    assert result["test_accuracy"] == pytest.approx(sum(one["test_accuracy"] for one in result["seeds"]) / 2)
    assert result["not_learned"] == sum(not one["learned"] for one in result["seeds"])
    assert all(Path("run", f"seed-{seed}", "last", "state.npz").is_file() for seed in (0, 3))
    assert cli("eval", "run").code == 2
    assert cli("eval", "run/seed-3", "--engine", "numpy").code == 0

    table = cli("train", "--resume", "--out", "run", "--steps", "6")
    assert table.code == 0
    assert "over 2 seeds" in table.out
    assert cli("train", "--resume", "--out", "run", "--seeds", "0,1").code == 2


def test_one_seed_is_one_run(tiny: Cli) -> None:
    result = tiny("--seeds", "7", "--steps", "1", "--out", "run", "--json").json
    assert (result["seed"], result["run"]) == (7, "run")
    assert "seeds" not in result


def test_dry_run_json(cli: Cli) -> None:
    found = cli("train", "listops", "--dry-run", "--json").json
    assert found["parameters"] == 188490
    assert found["log_k"] == pytest.approx(2.302585)
    assert found["init_loss"] == pytest.approx(found["log_k"], abs=1)
    assert sum(group["parameters"] for group in found["groups"]) == 188490
    assert {"group", "lr", "decay", "leaves"} <= set(found["groups"][0])
    assert found["steps"] == 96000 // 50 * 40
    assert found["plan"] == ["engine numba, layers_0 … layers_7: fused (one pass over memory, tile by tile)"]
    assert not Path("runs").exists()


def test_dry_run_for_people(cli: Cli) -> None:
    shown = cli(
        "train", "smnist", "--set", "model.n_layers=2", "model.d_model=64", "model.ssm_size=64", "--dry-run"
    )
    assert shown.code == 0
    assert "26,058 parameters" in shown.out
    assert "layers_*.seq.Lambda_re" in shown.out
    assert "log K = 2.3026" in shown.out
    assert "memory" in shown.out


def test_overfit(tiny: Cli, cli: Cli) -> None:
    learned = cli("train", "digits", "--overfit", "--engine", "numpy", "--set", "train.batch=8", "--json")
    assert learned.code == 0
    assert learned.json["learned"] is True
    not_yet = tiny("--overfit", "--steps", "2", "--json")
    assert not_yet.code == 1
    assert (not_yet.json["learned"], not_yet.json["steps"]) == (False, 2)
    assert not Path("runs").exists()


def test_an_interrupted_overfit_does_not_say_that_it_cannot_learn(
    tiny: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s5ref.train import evaluate, overfit

    def press(*_: object) -> evaluate.Score:
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate.Score(1.0, 0)

    monkeypatch.setattr(overfit, "score", press)
    ran = tiny("--overfit")
    assert ran.code == 130
    assert "stopped before it was learned, after 1 steps" in ran.out
    assert "NOT learned" not in ran.out


def test_a_run_that_diverges_is_a_no(tiny: Cli) -> None:
    ran = tiny("--out", "run", "--json", "--set", "optim.lr=1e38", "optim.schedule=constant")
    assert ran.code == 1
    error = ran.json["error"]
    assert "Step " in error["message"]
    assert {"step", "layer", "leaf", "group"} <= set(error)


def test_threads_and_numba(cli: Cli, settings: list[str]) -> None:
    bits = {
        cli("train", "digits", *settings, "--steps", "3", "--threads", n, "--out", f"run-{n}", "--json").json[
            "test_loss"
        ]
        for n in (1, 2)
    }
    assert len(bits) == 1


class TestResume:
    @pytest.fixture(autouse=True)
    def _begun(self, tiny: Cli) -> None:
        assert tiny("--steps", "3", "--out", "run").code == 0

    def test_is_the_unbroken_run(self, tiny: Cli, cli: Cli) -> None:
        assert (
            cli("train", "digits", "--resume", "--out", "run", "--threads", "2", "--json").json["steps"] == 12
        )
        assert tiny("--out", "whole").code == 0
        ours, theirs = (runs.load(run, "last") for run in ("run", "whole"))
        assert all((ours.params[name] == theirs.params[name]).all() for name in theirs.params)
        lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "step" in line] == list(range(1, 13))

    @pytest.mark.parametrize(
        "same",
        [
            "",
            "--engine numpy",
            "--seeds 0",
            "--set model.d_model=6",
            "--epochs 3",
            "digits",
            "run/config.toml",
        ],
    )
    def test_repeating_what_it_was_begun_with_is_fine(self, cli: Cli, same: str) -> None:
        steps = [] if "--epochs" in same else ["--steps", "4"]
        ran = cli("train", *same.split(), "--resume", "--out", "run", *steps, "--json")
        assert ran.json["steps"] == (4 if steps else 12)

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            ("--seeds 1", "seeds [0]"),
            ("--seeds 0,1", "seeds [0]"), ("--set model.d_model=8", "model.d_model: 6 there, 8 here"),
            ("--epochs 4", "train.epochs: 3 there"), ("smnist", "digits there, smnist here"),
            ("other.toml", "train.batch: 300 there"),
        ],
    )  # fmt: skip
    def test_anything_else_is_refused(self, cli: Cli, other: str, words: str) -> None:
        Path("other.toml").write_text(cli("recipes", "digits").out, encoding="utf-8")
        ran = cli("train", *other.split(), "--resume", "--out", "run", "--json")
        assert ran.code == 2
        assert words in ran.json["error"]["message"]

    @pytest.mark.parametrize(
        ("other", "name"), [("--engine sequential", "sequential"), ("--device cpu", "numba")]
    )
    def test_another_engine_continues_and_says_so(self, cli: Cli, other: str, name: str) -> None:
        ran = cli("train", *other.split(), "--resume", "--out", "run", "--steps", "4", "--json")
        assert (ran.code, ran.json["steps"]) == (0, 4)
        assert any(f"another engine (numpy; now {name})" in warning for warning in ran.json["warnings"])

    def test_a_begun_run_is_not_begun_again(self, tiny: Cli) -> None:
        ran = tiny("--out", "run", "--json")
        assert ran.code == 2
        assert "--resume" in ran.json["error"]["remedy"]

    def test_a_damaged_checkpoint_is_refused_by_name(self, cli: Cli) -> None:
        path = Path("run/last/state.npz")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        for argv in (["train", "--resume", "--out", "run"], ["eval", "run", "--checkpoint", "last"]):
            ran = cli(*argv, "--json")
            assert ran.code == 2
            assert str(path) in ran.json["error"]["message"]

    def test_an_edited_configuration_is_named_and_does_not_count(self, cli: Cli) -> None:
        argv = ["eval", "run", "--checkpoint", "last", "--engine", "numpy", "--json"]
        before, path = cli(*argv), Path("run/config.toml")
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("prenorm = true", "prenorm = false"), encoding="utf-8")
        sentence = "config.toml: model.prenorm is False in the file and True in the checkpoint, which counts."
        after = cli(*argv)
        assert after.json["loss"] == before.json["loss"]
        assert after.err.splitlines()[0] == sentence
        resumed = cli("train", "--resume", "--out", "run", "--steps", "4", "--json")
        assert resumed.code == 0
        assert resumed.err.count(sentence) == resumed.err.count("config.toml") == 1

    @pytest.mark.parametrize(
        ("name", "text"),
        [("environment.json", '{"seed":0'), ("environment.json", "null"), ("seeds.json", "{}"),
         ("metrics.jsonl", "5\n"), ("metrics.jsonl", "{}\n")],
    )  # fmt: skip
    def test_a_file_that_is_not_what_was_written_is_one_clear_line(
        self, cli: Cli, name: str, text: str
    ) -> None:
        Path("run", name).write_text(text, encoding="utf-8")
        ran = cli("train", "--resume", "--out", "run", "--json")
        assert ran.code == 2
        assert f"run/{name}" in ran.json["error"]["message"]
