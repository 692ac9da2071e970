"""Training by chunks: the run of whole sequences up to rounding, resumed to the bit, refused before it
begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import NUMPY, SEQUENTIAL, Engine, Model, S5Error
from s5ref.data.batches import Dataset
from s5ref.engine import Call
from s5ref.optim.adamw import init_moments
from s5ref.train.config import RunConfig
from s5ref.train.estimate import estimate
from s5ref.train.evaluate import evaluate
from s5ref.train.loop import fit
from s5ref.train.update import Weights, update
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import composite_budget, ratio

ONE_WAY = "model.bidirectional=false"  # the recipe has two directions, and BatchNorm
BY_CHUNKS = [ONE_WAY, "model.norm=layer", "train.dtype=float64", "train.chunk=5"]


@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_an_update_by_chunks_is_that_of_whole_sequences(
    engine: Engine, config: RunConfig, digits: Dataset
) -> None:
    config = config.override(BY_CHUNKS)
    model, batch = Model(config.model), digits.train.batch(np.arange(8), "float64")
    params, statistics = model.init(0, "float64")
    begun = Weights(params, init_moments(params), statistics, 0)
    optimizer = config.optim.optimizer(5, 3)
    given = optimizer.groups(params), optimizer.rates(3)

    def updated(engine: Engine, chunk: int = 0) -> dict[str, object]:
        call = Call(engine, training=True, key=(0, 0))
        new = update(model, begun, batch, call, *given, chunk)
        return {"loss": np.float64(new.loss), "moments": new.weights.moments.first, "output": new.output}

    terms = batch.inputs.size
    want, budget = composite_budget(updated, SEQUENTIAL, range(4), terms)
    for path, leaf in leaves(updated(engine, 5)):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


@pytest.mark.parametrize("truncate", ["false", "true"])
def test_a_run_by_chunks_is_resumed_to_the_bit(
    truncate: str, config: RunConfig, digits: Dataset, tmp_path: Path, same: Callable[[Path, Path], None]
) -> None:
    config = config.override([*BY_CHUNKS, f"train.truncate={truncate}", "train.epochs=1"])
    fit(config, digits, tmp_path / "whole", engine=NUMPY)
    fit(config, digits, tmp_path / "parts", engine=NUMPY, stop_after=2)
    fit(config, digits, tmp_path / "parts", engine=NUMPY, resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


def test_a_truncated_run_is_another_one(config: RunConfig, digits: Dataset) -> None:
    config = config.override(BY_CHUNKS)
    exact, cut = (
        fit(
            replace(config, train=replace(config.train, truncate=t)), digits, None, engine=NUMPY, stop_after=2
        )
        for t in (False, True)
    )
    name = "layers_1.seq.Lambda_im"
    assert not np.allclose(exact.last.params[name], cut.last.params[name], rtol=1e-9, atol=0)


def test_an_evaluation_by_chunks_is_that_of_whole_sequences(config: RunConfig, digits: Dataset) -> None:
    model = Model(config.override([ONE_WAY]).model)  # BatchNorm: with its running statistics it may
    given = model, *model.init(0, "float64"), digits.validation, NUMPY
    whole, chunked = evaluate(*given), evaluate(*given, chunk=5)
    assert chunked.accuracy == whole.accuracy
    assert chunked.loss == pytest.approx(whole.loss, rel=1e-12)


def test_a_dry_run_counts_the_memory_of_a_chunk(config: RunConfig) -> None:
    whole, chunked = (
        estimate(config.override([*BY_CHUNKS, f"train.chunk={chunk}"]), NUMPY) for chunk in (0, 16)
    )
    assert chunked.activation_bytes == pytest.approx(whole.activation_bytes / 4, abs=1)  # of 64 steps
    assert chunked.init_loss == pytest.approx(whole.init_loss, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ([ONE_WAY, "train.chunk=5"], BY_CHUNKS),
        (["model.norm=layer", "train.chunk=5"], BY_CHUNKS),
        (["train.truncate=true"], [*BY_CHUNKS, "train.truncate=true"]),
        (["train.chunk=-1"], ["train.chunk=0"]),
    ],
)
def test_what_cannot_be_trained_by_chunks_is_refused_before_it_begins(
    settings: list[str], remedy: list[str], config: RunConfig
) -> None:
    with pytest.raises(S5Error, match=r"train\.(chunk|truncate)"):
        config.override(settings)
    config.override(remedy)
