"""A tiny model on a few real digits, and what it means that two runs are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.data.batches import Dataset, Split
from s5ref.data.digits import load
from s5ref.train import checkpoint, plot, runs
from s5ref.train.config import RunConfig

TINY = [
    "model.n_layers=2", "model.d_model=6", "model.ssm_size=4", "model.blocks=1", "model.dropout=0.2",
    "train.batch=30", "train.epochs=3", "train.checkpoint_seconds=1000",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _few_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training the tiny model: only the tests about curves do it."""
    if "curves" not in request.node.name:
        monkeypatch.setattr(plot, "curves", lambda run: None)


@pytest.fixture
def config() -> RunConfig:
    return RunConfig.recipe("digits").override(TINY)


def _head(split: Split, n: int) -> Split:
    return replace(split, inputs=split.inputs[:n, :16], targets=split.targets[:n])


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Five batches of 30 and a ragged rest; two batches of validation and of test; 16 of the 64 steps."""
    d = load()
    assert d.test is not None
    task = replace(d.task, length=16)
    train, validation, test = _head(d.train, 163), _head(d.validation, 47), _head(d.test, 40)
    return replace(d, task=task, train=train, validation=validation, test=test)


def _same(a: Path, b: Path) -> None:
    for which in runs.CHECKPOINTS:
        arrays, meta = checkpoint.load(runs.checkpoint_path(a, which))
        others, other = checkpoint.load(runs.checkpoint_path(b, which))
        assert list(arrays) == list(others)
        for name, x in arrays.items():
            assert x.dtype == others[name].dtype
            assert x.tobytes() == others[name].tobytes(), f"{which}: {name}"
            assert np.isfortran(x) == np.isfortran(others[name])
        assert _untimed(meta) == _untimed(other)
    assert _lines(a) == _lines(b)


def _untimed(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != "seconds"}


def _lines(run: Path) -> list[dict[str, Any]]:
    return [_untimed(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def same() -> Callable[[Path, Path], None]:
    """Asserts that two runs hold the same checkpoints, bit for bit, and the same metrics but for times."""
    return _same
