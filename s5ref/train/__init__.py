"""Training: `train` on one's own arrays, and what the command line is made of."""

from __future__ import annotations

from s5ref.optim.optimizer import OptimConfig
from s5ref.train.api import train
from s5ref.train.config import RunConfig, TrainConfig

__all__ = ["OptimConfig", "RunConfig", "TrainConfig", "train"]
