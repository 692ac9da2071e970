"""What a run left in its folder, read without the data it was trained on."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from s5ref import recipes
from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.train import checkpoint, environment, metrics, runs
from s5ref.train.config import RunConfig
from s5ref.train.loaded import Loaded
from s5ref.train.runs import CHECKPOINTS, checkpoint_path
from s5ref.tree import described


@described
@dataclass(frozen=True)
class Record:
    """One run of one seed.

    Parameters
    ----------
    run : Path
        Its folder.
    loaded : Loaded
        The model of a checkpoint.
    facts : dict
        Of the state of the run: seed, step, epochs, seconds, and best (epoch, step, loss, accuracy) or None.
    updates, epochs : list of dict
        The two kinds of lines of metrics.jsonl.
    engine : str
        "" where it is not recorded.
    origin : str
        Where converted weights come from; "" of a trained run.
    result : dict or None
        The facts of the `FitResult`; None where the run has not ended.
    """

    run: Path
    loaded: Loaded
    facts: dict[str, Any]
    updates: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    engine: str = ""
    origin: str = ""
    result: dict[str, Any] | None = None

    @property
    def config(self) -> RunConfig:
        return self.loaded.config

    @property
    def seconds(self) -> float:
        return float(self.facts["seconds"])

    @property
    def parameters(self) -> int:
        return sum(int(leaf.size) for leaf in self.loaded.params.values())

    @property
    def best(self) -> dict[str, Any] | None:
        """Epoch, step, loss, accuracy (None of a regression) and mse (None of classes) of the best evaluation
        so far.
        """
        best: dict[str, Any] | None = self.facts["best"]
        if best is None:
            return None
        old = best["loss"] if best["accuracy"] is None else None  # checkpoints without mse: the loss was it
        return {"mse": old} | best

    @cached_property
    def initial(self) -> dict[str, Array] | None:
        """The parameters before the first update, a function of configuration and seed; None if converted."""
        if self.origin:
            return None
        return self.loaded.model.init(self.facts["seed"], self.config.train.dtype)[0]

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """The keys that differ from the recipe of the task's name: (here, in the recipe)."""
        task = self.config.task
        return self.config.differences(RunConfig.recipe(task)) if task in recipes.names() else {}


def read(run: str | Path, which: str | None = None) -> list[Record]:
    """The run in a folder, or those of its seeds that were started.

    Parameters
    ----------
    run : path
    which : {"best", "last"} or None
        The checkpoint; None: the best one, or the last where no epoch has ended.

    Returns
    -------
    list of Record
        At least one.

    Raises
    ------
    DataError
        On a folder that is no run, without a checkpoint, or with a damaged one.
    ConfigError
        If config.toml is no configuration of this version.
    """
    run = Path(run)
    runs.refuse_missing(run)
    seeds = runs.read_seeds(run)
    folders = [run] if seeds is None else [run / f"seed-{seed}" for seed in seeds]
    started = [
        folder for folder in folders if any(checkpoint_path(folder, name).exists() for name in CHECKPOINTS)
    ]
    if not started:
        raise DataError(
            f"{run} holds no checkpoint yet: nothing was trained.",
            f"Begin the training: s5ref train --resume --out {run}",
        )
    return [_read(folder, which) for folder in started]


def _read(run: Path, which: str | None) -> Record:
    best, last = (checkpoint_path(run, name) for name in ("best", "last"))
    loaded = runs.load(run, which)
    facts = checkpoint.load(last if last.exists() else best)[1]
    lines = metrics.read(run)
    recorded = environment.read(run) or {}
    return Record(
        run, loaded, facts,
        [line for line in lines if "step" in line], [line for line in lines if "train_loss" in line],
        recorded.get("engine", ""), "converted weights" if (run / "converted.json").exists() else "",
        runs.read_result(run, facts["step"]),
    )  # fmt: skip


def median(records: Sequence[Record]) -> Record:
    """The run in the middle by its best evaluation: what stands for all seeds where one must be shown."""

    def goodness(record: Record) -> tuple[float, float]:
        best = record.best or {}
        error = best.get("loss") if best.get("mse") is None else best["mse"]
        return best.get("accuracy") or 0.0, -(error or 0.0)

    return sorted(records, key=goodness)[len(records) // 2]


def mean_and_sd(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean, and sample standard deviation (None of a single value), of those that are there."""
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None
