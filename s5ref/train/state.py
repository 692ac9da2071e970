"""The state of a run, and its form in a checkpoint. All else follows from configuration and seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s5ref.arrays import Array
from s5ref.errors import ConfigError, DataError
from s5ref.model.model import Model
from s5ref.optim.adamw import Moments, init_moments
from s5ref.train import checkpoint
from s5ref.train.selection import Best
from s5ref.train.update import Weights
from s5ref.tree import described, prefixed, subtree


@described
@dataclass(frozen=True)
class State:
    """Where a run is.

    weights   parameters, moments, running statistics and the number of updates made
    epochs    epochs whose evaluation is done and counted in ``best``
    loss_sum  sum of the losses of the epoch's updates so far
    seconds   spent until now
    config    of the run, as TOML; empty where the checkpoint does not hold it: its config.toml counts then
    """

    seed: int
    weights: Weights
    epochs: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best: Best | None = None
    config: str = ""

    @classmethod
    def initial(cls, model: Model, seed: int, dtype: str) -> State:
        """Before the first update.

        Raises
        ------
        ConfigError
            If the parameters do not fit in memory.
        """
        try:
            params, statistics = model.init(seed, dtype)
        except MemoryError as error:
            raise ConfigError(
                f"The parameters of the model must fit in memory: {error}.",
                "Lower model.d_model, model.ssm_size or model.n_layers.",
            ) from error
        return cls(seed, Weights(params, init_moments(params), statistics, 0))

    def save(self, path: Path) -> None:
        """Everything that resuming needs."""
        w = self.weights
        moments = prefixed("m", w.moments.first) | prefixed("v", w.moments.second)
        checkpoint.save(path, _model_arrays(w) | moments, self._meta())

    def save_model(self, path: Path) -> None:
        """Parameters and running statistics only."""
        checkpoint.save(path, _model_arrays(self.weights), self._meta())

    @classmethod
    def load(cls, path: Path) -> State:
        """The inverse of `save`, bit for bit."""
        arrays, meta = checkpoint.load(path)
        moments = Moments(subtree(arrays, "m"), subtree(arrays, "v"))
        weights = Weights(subtree(arrays, "params"), moments, subtree(arrays, "statistics"), meta["step"])
        best = Best(**meta["best"]) if meta["best"] else None
        return cls(
            meta["seed"], weights, meta["epochs"], meta["loss_sum"], meta["seconds"], best,
            recorded_config(path, meta),
        )  # fmt: skip

    def _meta(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("epochs", "loss_sum", "seconds")}
        best = self.best._asdict() if self.best else None
        facts = {"seed": self.seed, "step": self.weights.updates, **own, "best": best}
        if self.config:
            facts |= {"config": self.config, "config_sha256": _sha256(self.config)}
        return facts


def recorded_config(path: Path, meta: dict[str, Any]) -> str:
    """The configuration that the checkpoint ``path`` with the facts ``meta`` holds, as TOML; "" if none.

    Raises
    ------
    DataError
        If it does not match its SHA-256.
    """
    text = str(meta.get("config", ""))
    if text and meta.get("config_sha256") != _sha256(text):
        raise DataError(
            f"The checkpoint {path} is damaged: its configuration does not match its SHA-256.",
            "Take the other one of last/ and best/ if that is enough, or train again.",
        )
    return text


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _model_arrays(weights: Weights) -> dict[str, Array]:
    return prefixed("params", weights.params) | prefixed("statistics", weights.statistics)
