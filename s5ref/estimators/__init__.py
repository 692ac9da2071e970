"""Estimators of scikit-learn for series: fit, predict, transform."""

from __future__ import annotations

from s5ref.errors import optional

optional("sklearn", "sklearn")

from s5ref.estimators.features import S5Features  # noqa: E402
from s5ref.estimators.ridge import S5FeatureClassifier, S5FeatureRegressor  # noqa: E402
from s5ref.estimators.store import load  # noqa: E402
from s5ref.estimators.trained import S5Classifier, S5Regressor  # noqa: E402

__all__ = ["S5Classifier", "S5FeatureClassifier", "S5FeatureRegressor", "S5Features", "S5Regressor", "load"]
