"""Several ranks train what one process trains: threads of this process, a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, SEQUENTIAL, Batch, ConfigError, Model, NumericalError, recipes
from s5ref.data.batches import Dataset, Rows
from s5ref.model.parts import part_of
from s5ref.ranks import ALONE, Grid, Ranks
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.results import FitResult
from s5ref.train.signals import StopRequest
from s5ref.verification.selfcheck.threads import on_ranks

NARROW = ["model.n_layers=2", "model.d_model=8", "model.ssm_size=8", "model.blocks=1", "train.batch=5"]
WAYS = [(2, 1), (3, 1), (2, 2), (4, 2)]  # ranks, and how many share a sequence


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    return config.override(["train.dtype=float64", "train.epochs=2"])


def shared(
    size: int, sequence: int, config: RunConfig, data: Dataset, run: Path | None, **how: Any
) -> list[FitResult]:
    found: list[FitResult] = on_ranks(
        size,
        lambda ranks: fit(config, data, run, engine=NUMPY, grid=Grid.of(ranks, sequence), **how),
    )
    return found


def assert_close(got: FitResult, want: FitResult) -> None:
    for name, leaf in want.last.params.items():
        np.testing.assert_allclose(got.last.params[name], leaf, rtol=1e-6, atol=1e-8)
    assert got.test_loss == pytest.approx(want.test_loss, rel=1e-7)
    assert (got.test_accuracy, got.best_epoch) == (want.test_accuracy, want.best_epoch)
    for record, wanted in zip(got.history, want.history, strict=True):
        assert record == pytest.approx(wanted | {"seconds": record["seconds"]}, rel=1e-6)


@pytest.mark.parametrize(("size", "sequence"), WAYS)
def test_a_run(size: int, sequence: int, config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    whole = fit(config, digits, None, engine=NUMPY)
    found = shared(size, sequence, config, digits, tmp_path / "run")
    for result in found:
        assert_close(result, whole)
        for name, leaf in found[0].last.params.items():  # the same bits on every rank
            np.testing.assert_array_equal(result.last.params[name], leaf)
    assert runs.load(tmp_path / "run").step == whole.steps
    again = shared(size, sequence, config, digits, None)
    for name, leaf in found[0].last.params.items():  # and from run to run
        np.testing.assert_array_equal(again[0].last.params[name], leaf)


def test_resumed_by_other_ranks(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    whole, run = fit(config, digits, None, engine=NUMPY), tmp_path / "run"
    shared(2, 1, config, digits, run, stop_after=3)
    shared(4, 2, config, digits, run, resume=True, stop_after=7)
    assert_close(fit(config, digits, run, engine=NUMPY, resume=True), whole)
    for result in shared(3, 1, config, digits, run, resume=True):  # at its end it tests the best again
        assert_close(result, whole)


def test_the_first_rank_reports(config: RunConfig, digits: Dataset) -> None:
    seen: list[list[Any]] = [[], []]

    def train(ranks: Ranks) -> FitResult:
        return fit(config, digits, None, engine=NUMPY, grid=Grid.of(ranks), report=seen[ranks.rank].append)

    on_ranks(2, train)
    assert seen[0]
    assert not seen[1]


def test_a_rank_reads_only_its_examples(config: RunConfig, digits: Dataset) -> None:
    read: list[set[int]] = [set(), set()]

    class Noted(Rows):
        rank = 0

        def __getitem__(self, key: Any) -> Any:
            read[self.rank] |= set(np.asarray(key).tolist())
            return super().__getitem__(key)

    def train(ranks: Ranks) -> FitResult:
        noted = type("Noted", (Noted,), {"rank": ranks.rank})
        inputs = noted(digits.train.inputs, np.arange(len(digits.train)))
        data = replace(digits, train=replace(digits.train, inputs=inputs))
        return fit(config, data, None, engine=NUMPY, grid=Grid.of(ranks), stop_after=1)

    on_ranks(2, train)
    looked_at = set(np.linspace(0, len(digits.train) - 1, 8).astype(int).tolist())  # is it the same data?
    first, second = (rows - looked_at for rows in read)
    assert first
    assert second
    assert not first & second


def test_a_signal_at_one_rank_stops_all_after_the_same_update(
    config: RunConfig, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[StopRequest] = []
    monkeypatch.setattr(StopRequest, "__init__", lambda self: made.append(self), raising=False)

    def report(progress: Any) -> None:
        if progress.step == 4:
            made[-1].number = 15

    found = shared(3, 1, config, digits, tmp_path, report=report)
    [(steps, number)] = {(result.steps, result.interrupted) for result in found}
    assert steps in (4, 5)  # the other rank may have asked just before
    assert number == 15
    assert_close(
        shared(2, 1, config, digits, tmp_path, resume=True)[0], fit(config, digits, None, engine=NUMPY)
    )


def test_a_signal_is_not_lost_that_arrives_while_the_ranks_ask_each_other(
    config: RunConfig, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[StopRequest] = []
    monkeypatch.setattr(StopRequest, "__init__", lambda self: made.append(self), raising=False)

    def gather(self: Ranks, x: Any) -> Any:
        found = np.array(x)[None]
        made[-1].number = 15
        return found

    monkeypatch.setattr(type(ALONE), "gather", gather)
    assert fit(config, digits, None, engine=NUMPY).interrupted == 15


def told(differ: Callable[[Ranks], dict[str, Any]]) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        on_ranks(3, lambda ranks: fit(run=None, **differ(ranks), grid=Grid.of(ranks)))
    return error.value


def test_ranks_that_differ_are_refused(config: RunConfig, digits: Dataset) -> None:
    other = config.override(["model.d_model=8"])
    small = replace(digits, test=None)
    changed = replace(digits, train=replace(digits.train, targets=digits.train.targets[::-1]))

    def given(ranks: Ranks, **others: Any) -> dict[str, Any]:
        same = {"config": config, "dataset": digits, "engine": NUMPY}
        return same | (others if ranks.rank == 2 else {})

    message = told(lambda ranks: given(ranks, config=other)).message
    assert "rank 2 differs in its configuration: d_model = 8, and rank 0 has d_model = 6" in message
    assert (
        "rank 2 differs in its train data: 163 examples" in told(lambda r: given(r, dataset=changed)).message
    )
    assert "rank 2 differs in its test data: None" in told(lambda r: given(r, dataset=small)).message
    assert "rank 2 differs in its engine: sequential" in told(lambda r: given(r, engine=SEQUENTIAL)).message


@pytest.mark.parametrize(
    ("size", "sequence", "options", "words"),
    [
        (3, 1, ["train.batch=2"], "Each of 3 ranks must have an example"),
        (3, 2, [], "must divide all 3 of them; got 2"),
        (2, 2, ["train.chunk=8", "model.norm=layer", "model.bidirectional=false"], "got train.chunk=8"),
    ],
)
def test_refused(
    size: int, sequence: int, options: list[str], words: str, config: RunConfig, digits: Dataset
) -> None:
    with pytest.raises(ConfigError, match=words):
        shared(size, sequence, config.override(options), digits, None)


def test_what_is_not_finite_is_found_by_all(config: RunConfig, digits: Dataset) -> None:
    wild = config.override(["optim.lr=1e200", "optim.schedule=constant"])
    with pytest.raises(NumericalError, match=r"Step \d+: the (loss|gradient|forward pass)"):
        shared(2, 1, wild, digits, None)


def a_batch(config: RunConfig, length: int) -> Batch:
    """Random examples in the form of a recipe."""
    c, rng = config.model, np.random.default_rng(0)
    documents: Sequence[int] = (2,) if c.head == "retrieval" else ()
    shape = (5, *documents, length)
    tokens = config.task in ("listops", "text", "retrieval")
    inputs = rng.integers(0, c.in_dim, shape) if tokens else rng.normal(size=(*shape, c.in_dim))
    wanted = Model(c).head.target_shape(N=5, L=length, K=c.n_classes)
    targets = rng.normal(size=wanted) if "regression" in c.head else rng.integers(0, c.n_classes, wanted)
    irregular = config.task == "pendulum"
    return Batch(inputs, targets, intervals=rng.uniform(0.5, 2, shape) if irregular else None)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe(name: str) -> None:
    config = RunConfig.recipe(name).override(NARROW)
    model, batch = Model(config.model), a_batch(config, 4 if name == "pendulum" else 12)
    params, statistics = model.init(0, "float64")
    how: dict[str, Any] = {"engine": NUMPY, "training": True, "key": (0, 0)}
    whole = model.loss_and_grad(params, statistics, batch, **how)
    for size, sequence in WAYS:

        def pass_(ranks: Ranks, sequence: int = sequence) -> Any:
            grid = Grid.of(ranks, sequence)
            return model.loss_and_grad(params, statistics, part_of(model, batch, grid), grid=grid, **how)

        for part in on_ranks(size, pass_):
            assert part.loss == pytest.approx(whole.loss, rel=1e-12)
            for leaf in params:
                scale = np.abs(whole.grads[leaf]).max()
                np.testing.assert_allclose(
                    part.grads[leaf], whole.grads[leaf], rtol=0, atol=1e-10 * scale + 1e-15
                )
            for leaf in statistics:
                np.testing.assert_allclose(
                    part.statistics[leaf], whole.statistics[leaf], rtol=1e-12, atol=1e-15
                )
