"""What a person prints fits on one screen: 24 lines of at most 100 characters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref import Batch, Model, ModelConfig
from s5ref.data import digits
from s5ref.interop import weights
from s5ref.optim import AdamW
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.estimate import estimate
from s5ref.train.evaluate import evaluate
from s5ref.train.loop import fit
from s5ref.train.seeds import summary
from s5ref.train.state import State
from s5ref.tree import describe

LINES, COLUMNS = 24, 100


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("run")
    return {f"{type(value).__name__} {i}": value for i, value in enumerate(_objects(run))}


def _objects(run: Path) -> Iterator[Any]:
    dataset = digits.load()
    config = RunConfig.recipe("digits").override(["train.epochs=1", "train.batch=600", "model.n_layers=1"])
    yield from (config, config.model, config.optim, config.train, dataset, dataset.train, dataset.task)
    result = fit(config, dataset, run, engine="numpy")
    loaded = runs.load(run)
    yield from (result, summary([result] * 5, str(run)), loaded, loaded.model)
    yield State.load(runs.checkpoint_path(run, "last"))
    yield weights.from_flat({f"params.{name}": x for name, x in loaded.params.items()})
    yield evaluate(loaded.model, loaded.params, loaded.statistics, dataset.validation, "numpy")
    yield estimate(config, "numpy")
    yield s5ref.data.check("digits")
    optimizer = AdamW()
    yield from (optimizer, optimizer.init(loaded.params))
    batch = dataset.train.batch(np.arange(300))
    yield from (batch, loaded.model.forward(loaded.params, loaded.statistics, batch, engine="numpy"))
    yield loaded.model.loss_and_grad(loaded.params, loaded.statistics, batch, engine="numpy")
    yield from (s5ref.NUMPY, s5ref.SSM(), s5ref.SequenceLayer(), Model(ModelConfig()))
    params = s5ref.SSM(d_model=200, ssm_size=200).init()
    ssm = s5ref.SSM(d_model=200, ssm_size=200)
    yield from (ssm.forward(params, np.ones((20, 30, 200)), engine="numpy"), ssm.to_state_space(params))
    yield ssm.stepper(params)
    one_way = Model(ModelConfig(norm="layer"))
    stream = s5ref.streaming(one_way, *one_way.init(), engine="numpy")
    yield from (stream, stream.initial_state(3))


def test_one_screen(printed: dict[str, Any]) -> None:
    assert len(printed) > 25
    for name, value in printed.items():
        text = repr(value)
        screens = sum(max(1, -(-len(line) // COLUMNS)) for line in text.splitlines())
        assert screens <= LINES, f"{name}:\n{text}"


def test_what_it_says() -> None:
    batch = Batch(np.zeros((8, 64, 1), np.float32), lengths=np.ones(8, int))
    assert repr(batch).splitlines() == [
        "Batch", "  inputs     float32 (8, 64, 1)", "  targets    None", "  lengths    int64 (8,)",
        "  intervals  None", "  resets     None", "  segments   None",
    ]  # fmt: skip
    assert all(len(line) <= 40 for line in describe(batch, width=40).splitlines())
    state = AdamW().init(
        {f"layers_0.seq.{n}": np.ones(2) for n in ("B", "Lambda_re", "Lambda_im", "log_step")}
    )
    assert repr(state.moments).splitlines()[1] == (
        "  first   4 arrays of 8 numbers: layers_0.seq.B float64 (2,), layers_0.seq.Lambda_re float64 (2,), …"
    )
