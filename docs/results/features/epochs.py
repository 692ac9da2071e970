"""How many epochs a model trained by gradient takes where there are many series: one model without the ridge
beside it, on training parts alone. See README.md.

python epochs.py [SET …]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
from run import load
from sklearn.model_selection import StratifiedKFold

import s5ref
from s5ref.estimators.trained import BATCH

EPOCHS, FOLDS = (40, 20, 10, 5), 3
SETS = ("SpokenDigits", "digits", "smnist")


def parts(name: str) -> Iterator[tuple]:
    """(X, y) to fit and (X, y) to ask; of smnist 6,000 and 6,000 series, of the others folds."""
    if name == "smnist":
        data = s5ref.data.load(name)
        fit, ask = data.train, data.validation
        yield fit.inputs[:6000], fit.targets[:6000], ask.inputs, ask.targets
        return
    if name == "digits":
        part = s5ref.data.load(name).train
        X, y = list(part.inputs), part.targets
    else:
        (X, y), _ = load(name)
    for fit, ask in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(y, y):
        yield [X[i] for i in fit], y[fit], [X[i] for i in ask], y[ask]


def main(*names: str) -> None:
    for name in names or SETS:
        for epochs in EPOCHS:
            right, losses, updates, start = [], [], 0, time.process_time()
            for X, y, Xa, ya in parts(name):
                updates = epochs * -(-len(X) // BATCH)
                model = s5ref.S5Classifier(n_estimators=1, n_filters=0, steps=updates, random_state=0)
                p = model.fit(X, y).predict_proba(Xa)
                truth = np.searchsorted(model.classes_, ya)
                right.extend(p.argmax(axis=1) == truth)
                losses.extend(-np.log(np.maximum(p[np.arange(len(p)), truth], 1e-9)))
            cpu = time.process_time() - start
            found = f"{np.mean(right):.4f}, log loss {np.mean(losses):.4f}"
            print(f"{name:14s} {epochs:2d} epochs, {updates} updates: {found}, CPU {cpu:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
