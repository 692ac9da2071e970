"""The state of a run, and its form in a checkpoint. All else follows from configuration and seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s5ref.arrays import Array
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
    """

    seed: int
    weights: Weights
    epochs: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best: Best | None = None

    @classmethod
    def initial(cls, model: Model, seed: int, dtype: str) -> State:
        params, statistics = model.init(seed, dtype)
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
        return cls(meta["seed"], weights, meta["epochs"], meta["loss_sum"], meta["seconds"], best)

    def _meta(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("epochs", "loss_sum", "seconds")}
        best = self.best._asdict() if self.best else None
        return {"seed": self.seed, "step": self.weights.updates, **own, "best": best}


def _model_arrays(weights: Weights) -> dict[str, Array]:
    return prefixed("params", weights.params) | prefixed("statistics", weights.statistics)
