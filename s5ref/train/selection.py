"""Which epoch is the best, and whether the run learned anything."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from s5ref.data.batches import Split


class Best(NamedTuple):
    """An evaluation on the selecting split: after ``epoch`` epochs, that is after ``step`` updates."""

    epoch: int
    step: int
    loss: float
    accuracy: float | None


def better(here: Best, best: Best | None) -> bool:
    """Strictly: a higher accuracy; a lower loss where there is none. A loss that is not finite never is."""
    if not math.isfinite(here.loss):
        return False
    if best is None:
        return True
    if here.accuracy is not None and best.accuracy is not None:
        return here.accuracy > best.accuracy
    return here.loss < best.loss


def learned(best: Best, split: Split) -> bool:
    """Accuracy above the majority share p by 3√(p(1 − p)/n); regression: MSE below the targets' variance."""
    if best.accuracy is None:
        return best.loss < float(np.mean(np.var(split.targets, axis=tuple(range(split.targets.ndim - 1)))))
    p = split.majority_share()
    return best.accuracy > p + 3.0 * math.sqrt(p * (1.0 - p) / len(split))
