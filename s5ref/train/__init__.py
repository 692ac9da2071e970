"""Training: `train` on one's own arrays, and what the command line is made of."""

from __future__ import annotations

from s5ref.optim.optimizer import OptimConfig
from s5ref.train.api import train
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.train.results import FitResult, Progress
from s5ref.train.tensorboard import TensorBoard

__all__ = ["FitResult", "OptimConfig", "Progress", "RunConfig", "TensorBoard", "TrainConfig", "train"]
