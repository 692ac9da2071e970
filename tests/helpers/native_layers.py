"""What the tests of torch and jax share: a configuration, data, the comparison of one step of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from s5ref import SEQUENTIAL, Engine, Model, ModelConfig
from s5ref.verification.rounding.budget import COMPOSITE, THRESHOLD, composite_budget, ratio

N, L, H, RATE = 3, 8, 4, 0.5
CONFIG = ModelConfig(
    n_layers=1, d_model=H, ssm_size=6, in_dim=2, n_classes=3, dt_min=0.1, dt_max=1.0, bidirectional=True
)
EPS = float(np.finfo(np.float64).eps)


def leaves() -> tuple[dict[str, Any], dict[str, Any]]:
    return Model(CONFIG).init(seed=2, dtype="float64")


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    return rng.normal(size=(N, L, 2)), rng.integers(0, 3, N)


def agree(
    native: dict[str, Any], through_ours: Callable[[Engine], dict[str, Any]], start: dict[str, Any]
) -> None:
    """``native`` and through_ours(SEQUENTIAL): {"loss": …, "grad.NAME": …, "new.NAME": …} of the same step.

    The budget of loss and gradients is that of composites, and COMPOSITE roundings of the value itself; a
    parameter after the step may differ by that of its gradient times the rate, and by the roundings of
    p − rate · g.
    """
    want, budget = composite_budget(through_ours, SEQUENTIAL, range(4), terms=N * L)
    assert native.keys() == want.keys()
    for name, got in native.items():
        allowed: Any = budget[name] + COMPOSITE * EPS * abs(want[name])
        if name.startswith("new."):
            leaf = name.removeprefix("new.")
            moved = want.get(f"grad.{leaf}")
            if moved is not None:
                allowed = RATE * budget[f"grad.{leaf}"] + EPS * (abs(start[leaf]) + RATE * abs(moved))
                assert np.max(np.abs(moved)) > 0, f"{leaf} did not move"
        worst = ratio(got, want[name], allowed, 1.0)
        assert worst <= THRESHOLD, f"{name}: {worst}"
