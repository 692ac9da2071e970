"""A run folder that s5ref 0.1.0 wrote opens today: evaluated, loaded, continued.

run-0.1/ was made by that version, six updates of a tiny model; the numbers below are what it said then:
    s5ref train digits --engine numpy --out run --steps 6 --set model.d_model=8 model.ssm_size=8 \
        model.n_layers=1 model.blocks=1 train.batch=300 train.epochs=3
    s5ref eval run --engine numpy;  s5ref train --resume --out run --engine numpy --steps 10
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref.cli.main import main
from s5ref.data.digits import load as digits
from s5ref.train import plot

LOSS = pytest.approx(2.3156475666496488, rel=1e-5)  # of `s5ref eval`, float32
ACCURACY = pytest.approx(42 / 360)
CONTINUED = [2.3529748916625977, 2.3761847019195557, 2.359508752822876, 2.3493404388427734]  # updates 7 … 10


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(plot, "curves", lambda run: None)
    return Path(shutil.copytree(Path(__file__).with_name("run-0.1"), tmp_path / "run"))


def _said(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The object that a command prints; it must succeed."""
    code = main([*argv, "--engine", "numpy", "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    found: dict[str, Any] = json.loads(captured.out)
    return found


def test_evaluates(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _said(capsys, "eval", str(run))
    assert (found["step"], found["accuracy"], found["loss"]) == (4, ACCURACY, LOSS)


def test_loads(run: Path) -> None:
    loaded = s5ref.load(run)
    test = digits().test
    assert test is not None
    inputs = test.prepare(test.inputs, np.dtype("float32"))
    assert (loaded.predict(inputs) == test.targets).mean() == ACCURACY
    assert s5ref.load(run, "last").step == 6


def test_resumes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _said(capsys, "train", "--resume", "--out", str(run), "--steps", "10")["steps"] == 10
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line.get("step", 0) > 6]
    assert losses == pytest.approx(CONTINUED, rel=1e-5)
