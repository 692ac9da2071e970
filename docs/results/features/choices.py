"""What was chosen by cross-validation on the training parts of the development sets. See README.md.

python choices.py [ROW …]
"""

from __future__ import annotations

import sys

import numpy as np
from run import DEVELOPMENT, load
from sklearn.model_selection import KFold, StratifiedKFold

import s5ref
from s5ref.estimators import features, ridge
from s5ref.features import filters
from s5ref.ssm.discretize import zoh

SERIES, FILTERS, SEEDS = 300, 1000, (0, 1, 2)
SETS = (*DEVELOPMENT, "Covid3Month", "CardanoSentiment")  # the last three are regressions


def zero_order_hold(Lambda, Delta):
    (Lambda_bar, gain), residuals = zoh(Lambda, Delta)
    return (Lambda_bar, np.zeros_like(gain), gain), residuals


def arcsine(self, X, *, times=None, transform=features.S5Features.transform):
    """Shares and runs as arcsin √."""
    answers = transform(self, X, times=times).reshape(-1, 12)
    answers[:, 3:9] = np.arcsin(np.sqrt(np.clip(answers[:, 3:9], 0, 1)))
    return answers.reshape(len(X), -1)


def score(name: str, **params) -> float:
    """Accuracy, of a regression the root mean squared error."""
    (X, y), _ = load(name)
    X, y, scores = X[:SERIES], y[:SERIES], []
    classes = y.dtype.kind in "USOi"
    kind, folds = (
        (s5ref.S5FeatureClassifier, StratifiedKFold) if classes else (s5ref.S5FeatureRegressor, KFold)
    )
    for seed in SEEDS:
        for fit, ask in folds(5, shuffle=True, random_state=seed).split(y, y):
            model = kind(FILTERS, random_state=seed, **params).fit([X[i] for i in fit], y[fit])
            said = model.predict([X[i] for i in ask])
            scores.append(np.mean(said == y[ask] if classes else (said - y[ask]) ** 2))
    return float(np.mean(scores)) if classes else float(np.sqrt(np.mean(scores)))


def show(label: str, patches=(), **params) -> None:
    """A row with attributes of modules replaced; ``patches`` of (module, attribute, value)."""
    if sys.argv[1:] and label not in sys.argv[1:]:
        return
    before = [(module, name, getattr(module, name)) for module, name, _ in patches]
    for module, name, value in patches:
        setattr(module, name, value)
    scores = {name: score(name, **params) for name in SETS}
    for module, name, value in before:
        setattr(module, name, value)
    mean = np.mean([scores[name] for name in SETS[:5]])
    print(f"{label:24s}", *(f"{value:.4f}" for value in scores.values()), f"mean {mean:.4f}", flush=True)


def slower(seed, number, channels, steps, online, draw=features.draw):
    """Time constants up to four times the length of a series."""
    return draw(seed, number, channels, 4 * steps, online)


hold = [
    (sys.modules[name], "first_order_hold", zero_order_hold)
    for name in ("s5ref.features.responses", "s5ref.cpu.features")
]
no_limit = (ridge, "BEYOND", np.inf)
spread = (features.S5Features, "transform", arcsine)
show("as it is")
show("online", online=True)
show("up to 3 oscillations", [(filters, "CYCLES", 3.0)])
show("two channels", [(filters, "CHANNELS", 2)])
show("zero-order hold", hold)
show("arcsine", [spread])
show("first differences", differences=1)
show("second differences", differences=2)
show("second, no limit", [no_limit], differences=2)
show("online, first, no limit", [no_limit], differences=1, online=True)
show("online, first", differences=1, online=True)
show("second, five channels", [(filters, "CHANNELS", 5)], differences=2)
show("up to four lengths", [(features, "draw", slower)])
show("both, five channels", [spread, (filters, "CHANNELS", 5)], differences=2)
