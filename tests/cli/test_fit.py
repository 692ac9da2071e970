"""``s5ref fit`` and ``s5ref predict``: a file of series to a model, and the model to predictions."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from s5ref.estimators import folder

Cli = Callable[..., Any]


def write_waves(path: str, n: int = 24, seed: int = 0, label: bool = True) -> list[str]:
    """A wide table of slow and fast waves; their labels."""
    rng = np.random.default_rng(seed)
    labels = [("slow", "fast")[i % 2] for i in range(n)]
    with Path(path).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow((["label"] if label else []) + [f"t{k}" for k in range(60)])
        for name in labels:
            wave = np.sin((0.2 if name == "slow" else 0.5) * np.arange(60) + rng.uniform(0, 6.3))
            values = (wave + 0.3 * rng.standard_normal(60)).round(4).tolist()
            rows.writerow(([name] if label else []) + values)
    return labels


@pytest.fixture
def fitted(cli: Cli) -> Path:
    write_waves("train.csv")
    ran = cli("fit", "train.csv", "--target", "label", "--online", "--json")
    assert ran.code == 0
    return Path(ran.json["run"])


def test_from_a_table_to_predictions(cli: Cli) -> None:
    write_waves("train.csv")
    labels = write_waves("test.csv", seed=1)
    ran = cli("fit", "train.csv", "--target", "label", "--test", "test.csv")
    assert "24 series, 1 channel, 60 steps each, regular; target 'label': 2 classes" in ran.err
    assert "accuracy 100.00 % on the 24 series of test.csv" in ran.out
    assert "s5ref predict runs/train-1 NEW.csv" in ran.out
    write_waves("new.csv", seed=1, label=False)
    assert cli("predict", "runs/train-1", "new.csv").out.splitlines() == labels
    cli("predict", "runs/train-1", "new.csv", "--out", "said.csv")
    rows = list(csv.DictReader(io.StringIO(Path("said.csv").read_text())))
    assert [row["prediction"] for row in rows] == labels
    assert all(float(row[f"p({row['prediction']})"]) > 0.5 for row in rows)
    scored = cli("predict", "runs/train-1", "test.csv", "--json").json
    assert (scored["score"], scored["predictions"]) == (1.0, labels)


def test_series_from_stdin(cli: Cli, fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = write_waves("new.csv", n=4, seed=2, label=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(Path("new.csv").read_text()))
    assert cli("predict", str(fitted), "-").out.splitlines() == labels


def test_step_by_step(cli: Cli, fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a series says what the whole series says; an empty line begins a new one."""
    labels = write_waves("new.csv", n=2, seed=2, label=False)
    lines = [line.replace(",", "\n") for line in Path("new.csv").read_text().splitlines()[1:]]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n".join(lines) + "\n"))
    said = [line.split()[0] for line in cli("predict", str(fitted), "-", "--follow").out.splitlines()]
    assert (len(said), said[59], said[119]) == (120, *labels)


def test_a_long_table_and_a_real_target(cli: Cli) -> None:
    rng = np.random.default_rng(0)
    with Path("long.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["patient", "hour", "pulse", "rate"])
        for i in range(30):
            rate = 0.2 + 0.013 * i
            t = np.cumsum(rng.uniform(0.5, 1.5, 40)).round(3)
            rows.writerows([f"p{i}", x, round(float(np.sin(rate * x)), 4), rate] for x in t)
    ran = cli("fit", "long.csv", "--id", "patient", "--time", "hour", "--target", "rate")
    assert "30 series, 1 channel, 40 steps each, irregular; target 'rate': real, 0.2 to 0.577" in ran.err
    assert "R² 0.9" in ran.out
    cli("predict", "runs/long-1", "long.csv", "--out", "said.csv")
    rows_said = list(csv.DictReader(io.StringIO(Path("said.csv").read_text())))
    assert rows_said[3]["id"] == "p3"
    assert abs(float(rows_said[3]["prediction"]) - 0.239) < 0.05


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fit", "train.csv", "--target", "lable"], "Did you mean label?"),
        (["fit", "train.csv"], "column 'label': must be a number"),
        (["fit", "nowhere.csv", "--target", "label"], "nowhere.csv"),
        (["fit", "train.csv", "--target", "label", "--out", "taken"], "nothing is overwritten"),
        (["fit", "train.csv", "--target", "label", "--method", "magic"], "must be one of"),
        (["predict", "RUN", "train.csv", "--out", "said.npz"], "must end in .csv"),
        (["predict", "RUN", "train.csv", "--follow"], "--follow reads stdin"),
        (["predict", "RUN", "two.csv"], "1 channels"),
    ],
)
def test_what_is_refused(cli: Cli, fitted: Path, arguments: list[str], says: str) -> None:
    Path("taken").mkdir()
    Path("two.csv").write_text("a_0,a_1,b_0,b_1\n1,2,3,4\n2,3,4,5\n")
    ran = cli(*[str(fitted) if word == "RUN" else word for word in arguments])
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_steps_that_cannot_be_followed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write_waves("train.csv")
    run = cli("fit", "train.csv", "--target", "label", "--json").json["run"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n"))
    ran = cli("predict", run, "-", "--follow")
    assert ran.code == 2
    assert "s5ref fit --online" in ran.err


def test_a_run_of_fit_is_no_run_of_train(cli: Cli, fitted: Path) -> None:
    ran = cli("eval", str(fitted))
    assert ran.code == 2
    assert "s5ref predict" in ran.err


def test_a_damaged_run_is_refused(cli: Cli, fitted: Path) -> None:
    untold = (fitted / folder.FACTS).read_text().replace('"task": "classes"', '"task": "auto"')
    for name, text in (
        (folder.FACTS, "{"), (folder.FACTS, "5"), (folder.FACTS, untold), (folder.ESTIMATOR, "x"),
    ):  # fmt: skip
        whole = (fitted / name).read_bytes()
        (fitted / name).write_text(text)
        ran = cli("predict", str(fitted), "train.csv")
        assert (ran.code, "Traceback" in ran.err) == (2, False)
        assert name in ran.err
        (fitted / name).write_bytes(whole)


def test_a_column_of_tokens_and_the_names_of_channels(cli: Cli) -> None:
    """Later files are read with the alphabet of training; a page says it."""
    rng = np.random.default_rng(0)
    for name, symbols in (("train", 4), ("new", 2)):
        rows = ["id,symbol,label"]
        for i in range(16):
            rows += [f"{i},{s + 2 * (i % 2)},{'ab'[i % 2]}" for s in rng.integers(0, 2, 20) if s < symbols]
        Path(f"{name}.csv").write_text("\n".join(rows if name == "train" else rows[:21]) + "\n")
    ran = cli("fit", "train.csv", "--id", "id", "--target", "label", "--tokens", "--json")
    assert "4 channels, 20 steps each, regular; tokens '0', '1', '2', '3', a channel each" in ran.err
    assert ran.json["read"]["tokens"] == ["0", "1", "2", "3"]
    assert cli("predict", ran.json["run"], "new.csv", "--json").json["predictions"] == ["a"]
    shown = cli("show", ran.json["run"], "--html", "page.html").out
    assert "channels  '0', '1', '2', '3'" in shown
    assert "channel 3 " in Path("page.html").read_text(encoding="utf-8")
