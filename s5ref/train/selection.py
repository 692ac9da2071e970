"""Which epoch is the best, and whether the run learned anything."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.data.batches import Split


class Best(NamedTuple):
    """An evaluation on the selecting split: after ``epoch`` epochs, that is after ``step`` updates."""

    epoch: int
    step: int
    loss: float
    accuracy: float | None


def better(here: Best, best: Best | None) -> bool:
    """A higher accuracy, or the same one (or none) at a lower loss. A loss that is not finite never is."""
    if not math.isfinite(here.loss):
        return False
    if best is None:
        return True
    return (here.accuracy or 0.0, -here.loss) > (best.accuracy or 0.0, -best.loss)


def learned(best: Best, split: Split, valid: Array | None = None) -> bool:
    """Accuracy above the majority share p by 3√(p(1 − p)/n); regression: MSE below the targets' variance.

    ``valid``, (n, L, 1), says which steps count; None: all.
    """
    if best.accuracy is None:
        K = split.targets.shape[-1]
        targets = split.targets.reshape(-1, K) if valid is None else split.targets[valid[..., 0]]
        return best.loss < float(np.mean(np.var(targets, axis=0)))
    p = split.majority_share()
    return best.accuracy > p + 3.0 * math.sqrt(p * (1.0 - p) / len(split))
