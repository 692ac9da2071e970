"""Training on one's own arrays, in one call."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_type_hints

from s5ref.data.batches import Dataset
from s5ref.data.user import for_model
from s5ref.engine import Engine
from s5ref.errors import ConfigError
from s5ref.model.model import Model
from s5ref.mpi import ranks_of
from s5ref.optim.optimizer import OptimConfig
from s5ref.ranks import ALONE, Grid
from s5ref.settings import check_known
from s5ref.terminal import clock, in_notebook, live, percent
from s5ref.train import runs
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.display import Display
from s5ref.train.loop import fit
from s5ref.train.results import FitResult, Progress, Report
from s5ref.train.together import together


class TrainOptions(TypedDict, total=False):
    """Further keywords of `train`.

    optim   `OptimConfig`; that of a RunConfig does not count then
    seed    of the initial parameters, the order of the examples and the dropout masks; default: 0, or the
            run's own when resuming
    engine  an `Engine` or its name; default: the default one
    comm    an MPI communicator of mpi4py, such as MPI.COMM_WORLD: its processes train together, each of which
            makes this same call; the first one writes ``run`` and calls the callbacks
    sequence_ranks  how many of them, a divisor of their number, share each sequence; default 1: they share
            the examples of a batch
    """

    optim: OptimConfig
    seed: int
    engine: Engine | str
    comm: Any
    sequence_ranks: int


def train(
    model: Model,
    arrays: Dataset | Mapping[str, Any] | Sequence[Any],
    config: TrainConfig | RunConfig | None = None,
    *,
    run: str | Path | None = None,
    resume: bool = False,
    verbose: bool | None = None,
    callbacks: Sequence[Report] = (),
    **options: Unpack[TrainOptions],
) -> FitResult:
    """Train ``model`` on one's own arrays.

    Parameters
    ----------
    model : Model
    arrays : mapping, sequence or Dataset
        {"train": (inputs, targets), "validation": …, "test": …} as `s5ref.data.from_arrays` takes it;
        "test" is optional. Or what `s5ref.data.load` returns.
    config : TrainConfig, RunConfig or None
        Batch, epochs, dtype; of a RunConfig the optimiser counts too, but neither task nor model. None: the
        run's own when resuming. Batch and epochs that are not given fit themselves to the training set.
    run : path or None
        The run folder, which must not hold a run yet. None: nothing is written; the result holds the weights.
    resume : bool
        Continue the run in the folder, also one that ``s5ref train`` began.
    verbose : bool or None
        Show the progress on stderr. None: on a terminal and in a notebook.
    callbacks : sequence of functions
        Each is called with a `Progress` after every update, epoch and batch of an evaluation;
        `TensorBoard` is one.
    **options
        optim, seed, engine, comm, sequence_ranks: `TrainOptions`.

    Returns
    -------
    FitResult
        ``result.predict(inputs)`` predicts with the best weights.

    Raises
    ------
    S5Error
        ShapeError or DataError on arrays that do not fit, ConfigError on a folder in use, a batch larger than
        the training set, unequal lengths without masked padding, or a config of another type.
    KeyboardInterrupt
        On SIGINT, after the update has ended and is saved in ``run``. Any signal that `fit` waits with is
        raised again.
    NonFinite
        Where a loss or a gradient is not finite; the last checkpoint stays as it was.

    Examples
    --------
    ::

        model = s5ref.Model(s5ref.ModelConfig(n_layers=2, d_model=32, ssm_size=32, in_dim=1, n_classes=10))
        arrays = {"train": (x, y), "validation": (xv, yv)}
        result = s5ref.train.train(model, arrays, s5ref.train.TrainConfig(epochs=10))
        labels = result.predict(x)
    """
    for name in options:
        check_known("keyword", name, get_type_hints(TrainOptions), "train")
    if not isinstance(config, TrainConfig | RunConfig | None):
        raise ConfigError(
            f"config must be a TrainConfig or a RunConfig; got {type(config).__name__}.",
            "Example: s5ref.train.TrainConfig(epochs=10).",
        )
    ranks = ranks_of(options["comm"]) if "comm" in options else ALONE
    with together(ranks):
        dataset = arrays if isinstance(arrays, Dataset) else for_model(arrays, model.config)
        whole = RunConfig(dataset.task.name, model.config)
        if config is None and resume and run is not None:
            config = runs.own_config(run)[0]
        if isinstance(config, RunConfig):
            whole = replace(whole, optim=config.optim, train=config.train)
        elif config is not None:
            whole = replace(whole, train=config)
        whole = replace(whole, optim=options.get("optim", whole.optim))
        note = partial(print, file=sys.stderr, flush=True)
        grid = Grid.of(ranks, options.get("sequence_ranks", 1))
        show = (live(sys.stderr) or in_notebook()) if verbose is None else verbose
        show = show and ranks.rank == 0
        with Display(note) if show else contextlib.nullcontext() as display:
            result = fit(
                whole, dataset, run, resume=resume, engine=options.get("engine"), seed=options.get("seed"),
                report=partial(_tell, [display, *callbacks] if display else callbacks), grid=grid,
            )  # fmt: skip
        if result.interrupted is not None:  # saved; now the signal has its usual effect
            signal.raise_signal(result.interrupted)
        if show:
            best = result.best_val_accuracy
            found = f"MSE {result.best_val_mse:.4g}" if best is None else f"accuracy {percent(best, 1)}"
            note(
                f"trained {result.epochs} epochs, {result.steps} updates, in {clock(result.seconds)}: "
                f"best validation {found} at epoch {result.best_epoch}"
            )
        return result


def _tell(callbacks: Sequence[Report], progress: Progress) -> None:
    for callback in callbacks:
        callback(progress)
