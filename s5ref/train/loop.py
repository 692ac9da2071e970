"""Training: a run that can be stopped or killed at any moment and continued bit for bit.

Its only state is `State`; order of the examples and dropout masks are functions of (seed, step). On disk
come config.toml and environment.json, the checkpoint of step 0, then again and again metrics before
checkpoint. At an epoch's end ``last`` is written before the evaluation and after it; a run killed in between
evaluates again and writes the same ``best``. A fresh run reads its first checkpoint: it *is* a resumed one.
Without a folder nothing is written, and the state lives in memory alone.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from s5ref.data.batches import Dataset, Split, order
from s5ref.engine import Engine, as_engine
from s5ref.errors import ConfigError
from s5ref.model.batch import Batch
from s5ref.model.model import Model
from s5ref.model.packing import packed
from s5ref.model.parts import part_of
from s5ref.ranks import ALONE, GRID, Grid
from s5ref.settings import check, check_known
from s5ref.train import plot, runs
from s5ref.train.config import RunConfig
from s5ref.train.evaluate import Evaluation, evaluate
from s5ref.train.loaded import Loaded
from s5ref.train.lock import locked
from s5ref.train.metrics import Metrics
from s5ref.train.results import FitResult, Progress, Report
from s5ref.train.selection import Best, better, learned
from s5ref.train.signals import StopRequest, stop_request
from s5ref.train.state import State
from s5ref.train.together import check_together, together
from s5ref.train.update import Updates, Weights


class FitOptions(TypedDict, total=False):
    """Further keywords of `fit`.

    stop_after  stop after that many updates, counted from the start of the run; the schedule does not change
    grid        the processes that train together: each makes the same call. The first one writes and reports;
                ``run`` counts there alone
    """

    stop_after: int | None
    grid: Grid


def fit(
    config: RunConfig,
    dataset: Dataset,
    run: str | Path | None,
    *,
    engine: Engine | str | None = None,
    seed: int | None = None,
    resume: bool = False,
    report: Report | None = None,
    **options: Unpack[FitOptions],
) -> FitResult:
    """Train, in the folder ``run``, and evaluate the best checkpoint on the test set.

    Parameters
    ----------
    config : RunConfig
        When resuming, the run's own. A batch or epochs of 0 are fitted to the training set.
    dataset : Dataset
    run : path or None
        None: nothing is written.
    engine : Engine, name or None
        None: the default one.
    seed : int or None
        None: 0, or the run's own when resuming.
    resume : bool
        Continue from the last checkpoint of ``run``.
    report : function or None
        Is given the `Progress` after each update, epoch and batch of an evaluation.
    **options
        stop_after, grid: `FitOptions`.

    Returns
    -------
    FitResult
        ``interrupted`` is the number of the signal that stopped the run: SIGINT and SIGTERM let the update
        finish, and save.

    Raises
    ------
    ConfigError
        On a folder that holds a run or in which another process trains, a batch larger than the training
        set, stop_after < 1, or when resuming without a folder, or another configuration or seed; where
        processes differ in what they were given, or there are more than a batch has examples.
    DataError
        On a damaged checkpoint, or when resuming with other data.
    NonFinite
        Where a loss or a gradient is not finite; the last checkpoint stays as it was.
    RankError
        Where another process failed, or does not answer.
    """
    for name in options:
        check_known("keyword", name, FitOptions.__annotations__, "fit")
    stop_after, grid = options.get("stop_after"), options.get("grid", GRID)
    run, engine = None if run is None else Path(run), as_engine(engine)
    config = config.fitted(len(dataset.train))
    steps_per_epoch(config, dataset)
    if config.train.pack:
        _check_packing(config, engine)
    if stop_after is not None:
        remedy = "Leave it out to train to the end."
        check("stop_after", stop_after, "at least 1 update", stop_after >= 1, remedy)
    if resume and run is None:
        raise ConfigError("Resuming needs the run folder; got none.", "Name it: run=…")
    ranks = grid.everyone
    run, report = (run, report) if ranks.rank == 0 else (None, None)
    if resume and run:
        runs.refuse_missing(run)
    with together(ranks), locked(run) if run else contextlib.nullcontext(), stop_request() as stop:
        if ranks.size > 1:
            check_together(ranks, config, dataset, engine, stop_after)
            _check_shares(config, engine, grid)
        seed, warnings = _enter(run, config, dataset, engine, seed, resume) if run else (seed or 0, [])
        trainer = _Trainer(config, dataset, run, engine, seed, stop, warnings, grid)
        trainer.report = report
        try:
            return trainer.run_to_end(stop_after)
        finally:
            trainer.metrics.close()


def _enter(
    run: Path, config: RunConfig, dataset: Dataset, engine: Engine, seed: int | None, resume: bool
) -> tuple[int, list[str]]:
    """The seed, and what may change the bits of a resumed run; the folder is begun when this returns."""
    examples = {name: len(split) for name, split in dataset.splits().items()}
    data = {"source": dataset.source, "examples": examples}
    if resume:
        return runs.resume(run, config, seed, engine, data)
    runs.start(run, config, seed or 0, engine, data)
    return seed or 0, []


def steps_per_epoch(config: RunConfig, dataset: Dataset) -> int:
    """Batches in an epoch; with ``dataset.drop_last`` the whole ones.

    Raises
    ------
    ConfigError
        If there is none: a batch is larger than the training set.
    """
    if len(dataset.train) < config.train.batch:
        raise ConfigError(
            f"A batch must not be larger than the training set of {len(dataset.train)} examples; "
            f"got train.batch={config.train.batch}.",
            "Lower train.batch; 0 fits it to the training set.",
        )
    batches = len(dataset.train) / config.train.batch
    return math.floor(batches) if dataset.drop_last else math.ceil(batches)


def _check_packing(config: RunConfig, engine: Engine) -> None:
    """Refuses what packed rows do not go with."""
    if config.model.padding != "masked":
        raise ConfigError(
            f'Packed rows have no padding that counts; got padding="{config.model.padding}".',
            'Write padding="masked" for the model, or leave train.pack false.',
        )
    if engine.updates is not None:
        raise ConfigError(
            f"Packed rows differ in number from update to update, and {engine.name} records one update.",
            "Leave train.pack false, or train with an engine of the CPU.",
        )


def _check_shares(config: RunConfig, engine: Engine, grid: Grid) -> None:
    """Refuses what several processes do not go with."""
    if config.train.batch < grid.data.size:
        raise ConfigError(
            f"Each of {grid.data.size} ranks must have an example of a batch; got "
            f"train.batch={config.train.batch}.",
            "Use fewer ranks, or a larger batch.",
        )
    if grid.sequence.size > 1 and config.train.chunk:
        raise ConfigError(
            f"Ranks that share a sequence pass their steps at once; got train.chunk={config.train.chunk}.",
            "Leave out train.chunk, or use more ranks.",
        )
    if engine.updates is not None:
        raise ConfigError(
            f"Ranks of MPI train with an engine of the CPU; got {engine.name}.", "Say --device cpu."
        )


def _begun(run: Path | None, model: Model, config: RunConfig, seed: int) -> State:
    """The state in the last checkpoint of ``run``, which is made where it is missing."""
    text = config.to_toml()
    if run and (path := runs.checkpoint_path(run, "last")).exists():
        return replace(State.load(path), config=text)
    state = replace(State.initial(model, seed, config.train.dtype), config=text)
    if run:
        state.save(path)
        return State.load(path)
    return state


class _Pace:
    """Mean seconds of an update and of an evaluation. The first of each does not count: it may compile."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[int, float]] = {}

    def add(self, what: str, seconds: float) -> None:
        """One more update or evaluation, and its seconds."""
        count, total = self._counted.get(what, (-1, -seconds))
        self._counted[what] = count + 1, total + seconds

    def mean(self, what: str, unknown: float = math.nan) -> float:
        """Its mean; ``unknown`` before the second one."""
        count, total = self._counted.get(what, (0, 0.0))
        return total / count if count else unknown


class _Interrupted(Exception):
    """A signal arrived during an evaluation."""


class _Trainer:
    """One run in one process."""

    def __init__(
        self, config: RunConfig, dataset: Dataset, run: Path | None, engine: Engine, seed: int,
        stop: StopRequest, warnings: list[str], grid: Grid,
    ) -> None:  # fmt: skip
        self.grid, self.ranks = grid, grid.everyone
        self.config, self.dataset, self.run, self.engine = config, dataset, run, engine
        self.stop, self.warnings = stop, warnings
        self.report: Report | None = None
        self.model = Model(config.model)
        self.best: Loaded | None = None  # of this process; a resumed run reads it when it needs it
        begun = _begun(run, self.model, config, seed) if self.ranks.rank == 0 else None
        self.state: State = self.ranks.share(begun)[0]
        self.spe = steps_per_epoch(config, dataset)
        self.steps = self.spe * config.train.epochs
        self.order = functools.lru_cache(2)(lambda epoch: order(self.state.seed, epoch, len(dataset.train)))
        self.optimizer = config.optim.optimizer(self.spe, config.train.epochs)
        groups = self.optimizer.groups(self.state.weights.params)
        given = self.model, self.state.weights, groups, engine, self._batch, self.state.seed
        self.updates = Updates(*given, config.train.chunk, config.train.truncate, grid).on_engine()
        self.metrics = Metrics(run, self.step, self.state.epochs)
        history, self.metrics.complete = self.ranks.share((self.metrics.history, self.metrics.complete))[0]
        self.metrics.history = list(history)
        if not self.metrics.complete:
            warnings.append("metrics.jsonl lacks steps before the checkpoint; it continues from there.")
        self.before: float = self.state.seconds
        self.started = self.saved_at = time.monotonic()
        self.pace = _Pace()

    @property
    def step(self) -> int:
        return self.updates.count

    def run_to_end(self, stop_after: int | None = None) -> FitResult:
        """All updates, or ``stop_after`` of them counted from the start of the run; then the test."""
        self.steps = self.steps if stop_after is None else min(stop_after, self.steps)
        try:
            if self.step // self.spe > self.state.epochs:  # stopped between an epoch's end and its evaluation
                self._end_epoch()
            while self.step < self.steps:
                self._stop_if_asked()
                self._update()
                if self.step % self.spe == 0:
                    self._save()
                    self._end_epoch()
                elif time.monotonic() - self.saved_at >= self.config.train.checkpoint_seconds:
                    self._save()
            self._save()
            result = self._result(*self._test(), interrupted=None)
            if self.run:
                runs.write_result(self.run, result.facts())
            return result
        except _Interrupted:
            self._save()
            return self._result(None, self.state.best, interrupted=self.stop.number)

    def _stop_if_asked(self) -> None:
        """Stop where a signal arrived at any rank."""
        number = int(self.ranks.gather(np.array(self.stop.number or 0)).max())
        if number:  # nothing is written otherwise: a signal may arrive just now
            self.stop.number = number
            raise _Interrupted

    def _update(self) -> None:
        k, start = self.step, time.monotonic()
        rates = self.optimizer.rates(k)
        loss, _ = self.updates.step(rates)
        self.state = replace(self.state, loss_sum=self.state.loss_sum + loss)
        self.metrics.write({"step": k + 1, "epoch": k // self.spe + 1, "loss": loss, **rates})
        self.pace.add("update", time.monotonic() - start)
        self._tell("train", loss, k // self.spe + 1, rates=rates)

    def _batch(self, k: int) -> Batch:
        """The batch of update k: its epoch's order, cut into batches; what is short of one is left out, or
        filled up from the order's beginning (`Dataset.drop_last`).
        """
        (epoch, position), size = divmod(k, self.spe), self.config.train.batch
        rows = self.order(epoch).take(np.arange(position * size, (position + 1) * size), mode="wrap")
        batch = self.dataset.train.batch(rows[self.grid.data.mine(size)], self.config.train.dtype)
        batch = packed(batch) if self.config.train.pack else batch
        return part_of(self.model, batch, self.grid._replace(data=ALONE))

    def _end_epoch(self) -> None:
        """Evaluate, keep the best, count the epoch. Run again after a kill, it does the same again."""
        epoch, train_loss = self.state.epochs + 1, self.state.loss_sum / self.spe
        self.state, start = replace(self.state, weights=self.updates.weights), time.monotonic()
        here = self._validate(epoch, train_loss)
        self.pace.add("evaluation", time.monotonic() - start)
        self.state = replace(self.state, epochs=epoch, loss_sum=0.0)
        if better(here, self.state.best):
            self.state, self.best = replace(self.state, best=here), self._loaded("best")
            if self.run:
                self.state.save_model(runs.checkpoint_path(self.run, "best"))
        mse = {} if here.mse is None else {"val_mse": here.mse}
        self.metrics.write({
            "epoch": epoch, "train_loss": train_loss, "val_loss": here.loss, "val_accuracy": here.accuracy,
            **mse, "seconds": self._seconds(),
        })  # fmt: skip
        self._save()
        self._tell("epoch", train_loss, epoch)

    def _test(self) -> tuple[Evaluation | None, Best | None]:
        """(test figures, validation figures) of the best checkpoint; of the last if no epoch ended."""
        loss = self.state.loss_sum / max(1, self.step - self.spe * self.state.epochs)
        best = self.state.best or self._validate(self.state.epochs, loss)
        if self.state.best and self.ranks.share(self.best is None)[0]:
            self.best = self.ranks.share(runs.load(self.run, "best") if self.run else None)[0]
        of = self.best or self.state.weights
        test = self._evaluate("test", self.dataset.test, loss, of) if self.dataset.test else None
        return test, best

    def _validate(self, epoch: int, loss: float) -> Best:
        """The weights as they are, on the split that selects."""
        result = self._evaluate("validation", self.dataset.validation, loss, self.state.weights)
        return Best(epoch, self.step, result.loss, result.accuracy, result.mse)

    def _evaluate(self, phase: str, split: Split, loss: float, of: Weights | Loaded) -> Evaluation:
        def on_batch(done: float) -> None:
            self._stop_if_asked()
            self._tell(phase, loss, self.state.epochs + (phase == "validation"), done)

        config = self.config.train
        given = self.model, of.params, of.statistics, split, self.engine, config.batch
        return evaluate(*given, chunk=config.chunk, pack=config.pack, on_batch=on_batch, grid=self.grid)

    def _save(self) -> None:
        """metrics.jsonl first, so that it never lacks a step that the checkpoint has."""
        self.metrics.sync()
        self.state = replace(self.state, weights=self.updates.weights, seconds=self._seconds())
        if self.run:
            self.state.save(runs.checkpoint_path(self.run, "last"))
        self.saved_at = time.monotonic()

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _tell(
        self, phase: str, loss: float, epoch: int, done: float = 1.0, rates: dict[str, float] | None = None
    ) -> None:
        if self.report is not None:
            update, epochs = self.pace.mean("update"), self.steps // self.spe - self.state.epochs
            eta = update * (self.steps - self.step) + self.pace.mean("evaluation", 0.0) * epochs
            self.report(Progress(
                phase, self.step, self.steps, epoch, self.config.train.epochs, loss, done,
                1 / update if update > 0 else 0.0, eta, rates=rates, best=self.state.best,
                record=self.metrics.history[-1] if self.metrics.history else None,
            ))  # fmt: skip

    def _loaded(self, which: str) -> Loaded:
        """The model with the weights as they are."""
        params, _, statistics, step = self.state.weights
        return Loaded(self.model, params, statistics, self.config, step, which)

    def _result(self, test: Evaluation | None, best: Best | None, interrupted: int | None) -> FitResult:
        note = plot.curves(self.run) if self.run else None
        validation = self.dataset.validation
        valid = self.model.valid_steps(Batch(validation.inputs, lengths=validation.lengths))
        return FitResult(
            recipe=self.config.task,
            seed=self.state.seed,
            parameters=sum(int(p.size) for p in self.state.weights.params.values()),
            steps=self.step,
            epochs=self.state.epochs,
            seconds=self._seconds(),
            test_accuracy=test.accuracy if test else None,
            test_loss=test.loss if test else None,
            best_val_accuracy=best.accuracy if best else None,
            best_val_loss=best.loss if best else None,
            best_epoch=self.state.best.epoch if self.state.best else None,
            learned=learned(best, validation, valid) if best else None,
            selected="best" if self.state.best else "last",
            selected_on=self.dataset.selected_on,
            source=self.dataset.source,
            run=str(self.run or ""),
            last=self._loaded("last"),
            best=self.best,
            history=self.metrics.history,
            interrupted=interrupted,
            warnings=self.warnings + ([note] if note else []),
            test_mse=test.mse if test else None,
            best_val_mse=best.mse if best else None,
        )
