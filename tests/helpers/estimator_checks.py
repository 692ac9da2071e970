"""What tests of estimators share: series, and the checks of scikit-learn that cannot apply to series."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array

LONGER = "series may be longer or shorter than those of fit"
DRAWN = "what is drawn at random depends on the series that are given: repeating one changes it"
CANNOT_APPLY = {
    "check_n_features_in_after_fitting": LONGER,
    "check_transformer_general": LONGER,
    "check_classifiers_train": LONGER,
    "check_dataframe_column_names_consistency": "columns are steps, and " + LONGER,
    "check_sample_weight_equivalence_on_dense_data": DRAWN,
}


def cannot_apply(estimator: Any) -> dict[str, str]:
    return CANNOT_APPLY


def waves(n: int = 60, seed: int = 0) -> tuple[list[Array], Array]:
    """Series of two channels and unequal lengths; slow and fast oscillations under noise."""
    rng = np.random.default_rng(seed)
    y = np.array(["slow", "fast"])[np.arange(n) % 2]
    X = []
    for name in y:
        t = np.arange(rng.integers(40, 90))
        wave = np.sin((0.2 if name == "slow" else 0.5) * t + rng.uniform(0, 6.3))
        X.append(np.stack([wave, rng.standard_normal(len(t))]) + 0.5 * rng.standard_normal((2, len(t))))
    return X, y
