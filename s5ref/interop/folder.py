"""A run folder made of foreign weights: what `s5ref eval` and `s5ref.load` need, and where they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s5ref.files import new_folder, sha256, write_atomically
from s5ref.interop.weights import Weights, check_free
from s5ref.model.checks import check_params
from s5ref.optim.adamw import init_moments
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.state import State
from s5ref.train.update import Weights as Updated


def read(run: str | Path, checkpoint: str = "best") -> tuple[Weights, RunConfig]:
    """The weights of a run at a checkpoint, and its configuration."""
    loaded = runs.load(run, checkpoint)
    return Weights(loaded.params, loaded.statistics, "run", loaded.config.model.conj_sym), loaded.config


def write(run: str | Path, weights: Weights, config: RunConfig, source: str | Path) -> None:
    """A new folder, whole or absent: config.toml, best/ and last/ (step 0, zero moments), converted.json.

    Training can go on from it (``s5ref train --resume``): its optimiser starts anew.

    Raises
    ------
    ConfigError
        If ``run`` exists.
    DataError, ShapeError
        If the weights are not those of ``config``.
    """
    check_free(run)
    check_params(config.model, weights.params, weights.statistics)
    updated = Updated(weights.params, init_moments(weights.params), weights.statistics, 0)
    state = State(0, updated, config=config.to_toml())
    with new_folder(Path(run)) as folder:
        write_atomically(folder / "config.toml", config.to_toml().encode())
        state.save_model(runs.checkpoint_path(folder, "best"))
        state.save(runs.checkpoint_path(folder, "last"))
        write_atomically(folder / "converted.json", json.dumps(_origin(source, weights), indent=1).encode())


def _origin(source: str | Path, weights: Weights) -> dict[str, Any]:
    path = Path(source)
    digest = sha256(path) if path.is_file() else None
    return {"source": path.name, "names": weights.names, "sha256": digest, "left_aside": len(weights.aside)}
