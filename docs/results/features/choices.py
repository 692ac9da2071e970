"""What was chosen by cross-validation on the training parts of the development sets. See README.md.

python choices.py
"""

from __future__ import annotations

import sys

import numpy as np
from run import DEVELOPMENT, load
from sklearn.model_selection import StratifiedKFold

import s5ref
from s5ref.features import filters
from s5ref.ssm.discretize import zoh

SERIES, FILTERS, SEEDS = 300, 1000, (0, 1, 2)


def zero_order_hold(Lambda, Delta):
    (Lambda_bar, gain), residuals = zoh(Lambda, Delta)
    return (Lambda_bar, np.zeros_like(gain), gain), residuals


def accuracy(name: str) -> float:
    (X, y), _ = load(name)
    X, y, right = X[:SERIES], y[:SERIES], []
    for seed in SEEDS:
        for fit, ask in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            model = s5ref.S5FeatureClassifier(FILTERS, random_state=seed).fit([X[i] for i in fit], y[fit])
            right.append(model.score([X[i] for i in ask], y[ask]))
    return float(np.mean(right))


def show(label: str) -> None:
    scores = [accuracy(name) for name in DEVELOPMENT if name != "Tecator"]
    print(f"{label:24s}", *(f"{score:.4f}" for score in scores), f"mean {np.mean(scores):.4f}", flush=True)


show("as it is")
filters.CYCLES = 3.0
show("up to 3 oscillations")
filters.CYCLES, filters.CHANNELS = 4.0, 2
show("two channels")
filters.CHANNELS = 4
for module in ("s5ref.features.responses", "s5ref.cpu.features"):
    vars(sys.modules[module])["first_order_hold"] = zero_order_hold
show("zero-order hold")
