"""What a model trained by gradient, the ridge on random features and the mean of both are worth, by
cross-validation on the training parts of the development sets. See README.md.

python mean.py [SET …]
"""

from __future__ import annotations

import sys

import numpy as np
from run import DEVELOPMENT, load
from sklearn.model_selection import KFold, StratifiedKFold

import s5ref

SERIES, FOLDS = 300, 3


def cross_validated(name: str) -> None:
    (X, y), _ = load(name)
    X, y = X[:SERIES], y[:SERIES]
    classes = name != "Tecator"
    trained = s5ref.S5Classifier if classes else s5ref.S5Regressor
    ridge = s5ref.S5FeatureClassifier if classes else s5ref.S5FeatureRegressor
    folds = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=0)
    labels, truth = np.unique(y, return_inverse=True)
    said = np.zeros((2, len(y), len(labels) if classes else 1))
    for fit, ask in folds.split(truth, truth):
        models = trained(n_estimators=1, n_filters=0, random_state=0), ridge(random_state=0)
        for answers, model in zip(said, models, strict=True):
            model.fit([X[i] for i in fit], y[fit])
            answer = model.predict_proba if classes else model.predict
            answers[ask] = answer([X[i] for i in ask]).reshape(len(ask), -1)
    for label, answers in zip(("model", "ridge", "mean"), (*said, said.mean(axis=0)), strict=True):
        if classes:
            right = np.mean(answers.argmax(axis=1) == truth)
            loss = -np.mean(np.log(np.maximum(answers[np.arange(len(y)), truth], 1e-9)))
            print(f"{name:15s} {label:6s} {right:.3f}, log loss {loss:.3f}", flush=True)
        else:
            print(f"{name:15s} {label:6s} RMSE {np.sqrt(np.mean((answers[:, 0] - y) ** 2)):.3f}", flush=True)


for name in sys.argv[1:] or DEVELOPMENT:
    cross_validated(name)
