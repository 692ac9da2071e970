"""Training on one's own arrays, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from s5ref.data.tasks import Head
from s5ref.data.user import from_arrays
from s5ref.engine import Engine
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
    """Train ``model`` on {"train": (inputs, targets), "validation": …, "test": …} in the folder ``run``.

    arrays   as `s5ref.data.user.from_arrays` takes them; "test" is optional
    config   batch, epochs, dtype; or a RunConfig, whose optimiser counts too, but neither task nor model
    engine   an engine or its name; None: the default one

        model = s5ref.Model(s5ref.ModelConfig(n_layers=2, d_model=32, ssm_size=32, in_dim=1, n_classes=10))
        arrays = {"train": (x, y), "validation": (xv, yv)}
        result = train(model, arrays, TrainConfig(epochs=10), run="runs/mine")
        labels = s5ref.load("runs/mine").predict(x)
    """
    if isinstance(config, RunConfig):
        optim, config = optim or config.optim, config.train
    m = model.config
    dataset = from_arrays(arrays, n_classes=m.n_classes, in_dim=m.in_dim, head=cast(Head, m.head))
    whole = RunConfig("arrays", m, optim or OptimConfig(), config or TrainConfig())
    return fit(whole, dataset, run, engine=engine, seed=seed, report=report)
