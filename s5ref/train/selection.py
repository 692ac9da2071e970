"""Which epoch is the best, and whether the run learned anything."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.data.batches import Split


class Best(NamedTuple):
    """An evaluation on the selecting split: after ``epoch`` epochs, that is after ``step`` updates. ``mse``
    is None of classes, and in checkpoints of regressions from when the loss was always it.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float | None
    mse: float | None = None

    @property
    def error(self) -> float:
        """What is smallest at the best of regressions: the mean squared error. Of classes the loss."""
        return self.loss if self.mse is None else self.mse


def better(here: Best, best: Best | None) -> bool:
    """A higher accuracy, or the same one at a lower loss; of regressions a lower mean squared error. A loss
    that is not finite never is.
    """
    if not math.isfinite(here.loss):
        return False
    if best is None:
        return True
    return (here.accuracy or 0.0, -here.error) > (best.accuracy or 0.0, -best.error)


def learned(best: Best, split: Split, valid: Array | None = None) -> bool:
    """Accuracy above the majority share p by 3√(p(1 − p)/n); regression: MSE below the targets' variance.

    ``valid``, (n, L, 1), says which steps count; None: all.
    """
    if best.accuracy is None:
        K = split.targets.shape[-1]
        targets = split.targets.reshape(-1, K) if valid is None else split.targets[valid[..., 0]]
        return best.error < float(np.mean(np.var(targets, axis=0)))
    p = split.majority_share()
    return best.accuracy > p + 3.0 * math.sqrt(p * (1.0 - p) / len(split))
