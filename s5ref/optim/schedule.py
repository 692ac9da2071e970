"""Learning-rate schedules: the factor of both base rates at update k = 0, 1, …

spe = updates per epoch, W = spe · warmup_epochs, E = spe · epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from s5ref.errors import ConfigError


def upstream(k: int, warmup: int, total: int) -> float:
    """What lindermanlab/S5 (commit 3c18fdb) does, peculiarities included; T = E − W.

    k = 0: 1 (the full base rate, before the warm-up); 1 ≤ k ≤ W: k/W; k > W: ½(1 + cos(π min(k − 1, T)/T)).
    The cosine is not offset by W, so the last W − 1 updates run at rate 0 (where E ≥ 2W; otherwise all after
    W); T = 0 gives 0.
    """
    if k == 0:
        return 1.0
    if k <= warmup:
        return k / warmup
    decay = total - warmup
    return 0.5 * (1.0 + math.cos(math.pi * min(k - 1, decay) / decay)) if decay > 0 else 0.0


def warmup_cosine(k: int, warmup: int, total: int) -> float:
    """k < W: (k + 1)/W; then ½(1 + cos(π (k − W)/(E − W))), which would reach 0 at k = E."""
    if k < warmup:
        return (k + 1) / warmup
    if k >= total:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (k - warmup) / (total - warmup)))


def constant(k: int, warmup: int, total: int) -> float:
    """1, without a warm-up."""
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "upstream": upstream,
    "warmup_cosine": warmup_cosine,
    "constant": constant,
}


def factor(name: str, k: int, steps_per_epoch: int, epochs: int, warmup_epochs: int) -> float:
    """The factor of both base rates at update ``k``, counted from 0, under the schedule ``name``.

    Raises
    ------
    ConfigError
        On k < 0 or steps_per_epoch < 1.
    """
    if k < 0 or steps_per_epoch < 1:
        raise ConfigError(
            f"schedule: k ≥ 0 and steps_per_epoch ≥ 1 must hold; "
            f"got k={k}, steps_per_epoch={steps_per_epoch}.",
            "Use a batch no larger than the training set.",
        )
    return SCHEDULES[name](k, steps_per_epoch * warmup_epochs, steps_per_epoch * epochs)
