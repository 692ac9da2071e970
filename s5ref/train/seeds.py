"""The same run with several seeds: RUN/seed-S/ is a whole run folder each."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from s5ref.data.batches import Dataset
from s5ref.engine import Engine
from s5ref.errors import ConfigError
from s5ref.files import write_atomically
from s5ref.ranks import GRID
from s5ref.settings import check
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.lock import locked
from s5ref.train.loop import FitOptions, fit
from s5ref.train.results import FitResult, Progress, SeedsResult
from s5ref.train.together import together


def fit_seeds(
    config: RunConfig,
    dataset: Dataset,
    run: str | Path,
    seeds: Sequence[int] | None = None,
    *,
    engine: Engine | str | None = None,
    resume: bool = False,
    report: Callable[[int, Progress], None] | None = None,
    **options: Unpack[FitOptions],
) -> SeedsResult:
    """`fit` for one seed after the other, each in ``run``/seed-S.

    Parameters
    ----------
    config, dataset, engine
        As in `fit`.
    run : path
    seeds : sequence of int or None
        Different integers; None when resuming: the run's own.
    resume : bool
        Finished seeds are only evaluated, the interrupted one continues, the others start.
    report : function or None
        Is given (seed, Progress).
    **options
        stop_after, grid: `s5ref.train.loop.FitOptions`.

    Returns
    -------
    SeedsResult
        A signal stops the seed that is training, and no further one starts.

    Raises
    ------
    ConfigError
        On equal or no seeds, other seeds than the run's own, and as `fit`.
    DataError, NonFinite
        As `fit`.
    """
    run, config = Path(run), config.fitted(len(dataset.train))
    ranks = options.get("grid", GRID).everyone
    first = ranks.rank == 0
    if resume and first:
        runs.refuse_missing(run)
    results: list[FitResult] = []
    fit_one = partial(fit, config, dataset, engine=engine, **options)
    with together(ranks), locked(run) if first else contextlib.nullcontext():
        for seed in ranks.share(_enter(run, config, seeds, resume) if first else [])[0]:
            folder = run / f"seed-{seed}"
            started = ranks.share(resume and (folder / "config.toml").exists())[0]
            of_seed = partial(report, seed) if report else None
            results.append(fit_one(run=folder, seed=seed, resume=started, report=of_seed))
            if results[-1].interrupted is not None:
                break
    return summary(results, str(run))


def summary(results: Sequence[FitResult], run: str) -> SeedsResult:
    """Mean, sample standard deviation and the number of seeds that did not learn."""
    tests = [r.test_accuracy for r in results if r.test_accuracy is not None]
    errors = [r.test_mse for r in results if r.test_mse is not None]
    measured = tests or errors
    validations = [r.best_val_accuracy for r in results if r.best_val_accuracy is not None]
    return SeedsResult(
        recipe=results[0].recipe,
        run=run,
        test_accuracy=statistics.fmean(tests) if tests else None,
        std=(statistics.stdev(measured) if len(measured) > 1 else 0.0) if measured else None,
        best_val_accuracy=statistics.fmean(validations) if validations else None,
        not_learned=sum(r.learned is False for r in results),
        seconds=sum(r.seconds for r in results),
        seeds=list(results),
        interrupted=results[-1].interrupted,
        test_mse=statistics.fmean(errors) if errors else None,
    )


def _enter(run: Path, config: RunConfig, seeds: Sequence[int] | None, resume: bool) -> list[int]:
    """The seeds to train; config.toml and seeds.json are in place when this returns."""
    if resume:
        own = runs.read_seeds(run)
        if own is None:
            raise ConfigError(
                f"{run} is not a run over several seeds: it holds no seeds.json.",
                "Resume it as a single run.",
            )
        if seeds is not None and list(seeds) != own:
            raise ConfigError(
                f"{run} was started with the seeds {own}; got {list(seeds)}.", "Leave the seeds out."
            )
        return own
    chosen = list(seeds or [])
    different = chosen != [] and len(set(chosen)) == len(chosen)
    check("seeds", chosen, "different integers, at least one", different, "Example: 0, 1, 2.")
    runs.refuse_existing(run)
    write_atomically(run / "config.toml", config.to_toml().encode())
    write_atomically(run / "seeds.json", json.dumps(chosen).encode())
    return chosen
