"""Training on one's own arrays, in one call."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from s5ref.data.tasks import Head
from s5ref.data.user import from_arrays
from s5ref.engine import Engine
from s5ref.errors import ConfigError
from s5ref.model.model import Model
from s5ref.optim.optimizer import OptimConfig
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.loop import fit
from s5ref.train.results import FitResult, Report


def train(
    model: Model,
    arrays: Mapping[str, Any] | Sequence[Any],
    config: TrainConfig | RunConfig | None = None,
    *,
    run: str | Path,
    optim: OptimConfig | None = None,
    seed: int = 0,
    engine: Engine | str | None = None,
    report: Report | None = None,
) -> FitResult:
    """Train ``model`` on one's own arrays, in the folder ``run``.

    Parameters
    ----------
    model : Model
    arrays : mapping or sequence
        {"train": (inputs, targets), "validation": …, "test": …} as `s5ref.data.from_arrays` takes it;
        "test" is optional.
    config : TrainConfig, RunConfig or None
        Batch, epochs, dtype; of a RunConfig the optimiser counts too, but neither task nor model.
    run : path
        The run folder; it must not hold a run yet.
    optim : OptimConfig or None
    seed : int
        Of the initial parameters, the order of the examples and the dropout masks.
    engine : Engine, name or None
        None: the default one.
    report : function or None
        Is given a `Progress` after every update.

    Returns
    -------
    FitResult

    Raises
    ------
    S5Error
        ShapeError or DataError on arrays that do not fit, ConfigError on a folder in use, a batch larger than
        the training set or a config of another type.
    KeyboardInterrupt
        On SIGINT, after the update has ended and is saved. Any signal that `fit` waits with is raised again.
    NonFinite
        Where a loss or a gradient is not finite; the last checkpoint stays as it was.

    Examples
    --------
    ::

        model = s5ref.Model(s5ref.ModelConfig(n_layers=2, d_model=32, ssm_size=32, in_dim=1, n_classes=10))
        arrays = {"train": (x, y), "validation": (xv, yv)}
        result = s5ref.train.train(model, arrays, s5ref.train.TrainConfig(epochs=10), run="runs/mine")
        labels = s5ref.load("runs/mine").predict(x)
    """
    if not isinstance(config, TrainConfig | RunConfig | None):
        raise ConfigError(
            f"config must be a TrainConfig or a RunConfig; got {type(config).__name__}.",
            "Example: s5ref.train.TrainConfig(epochs=10).",
        )
    if isinstance(config, RunConfig):
        optim, config = optim or config.optim, config.train
    m = model.config
    dataset = from_arrays(arrays, n_classes=m.n_classes, in_dim=m.in_dim, head=cast(Head, m.head))
    whole = RunConfig("arrays", m, optim or OptimConfig(), config or TrainConfig())
    result = fit(whole, dataset, run, engine=engine, seed=seed, report=report)
    if result.interrupted is not None:  # saved; now the signal has its usual effect
        signal.raise_signal(result.interrupted)
    return result
