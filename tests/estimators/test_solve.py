"""The ridge, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from s5ref.estimators.solve import ridge, ridge_of_batches

ALPHAS = np.logspace(-1, 5, 13)


@pytest.mark.parametrize(("n", "p"), [(30, 200), (200, 30), (40, 40)])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_that_of_scikit_learn(n: int, p: int, weighted: bool) -> None:
    rng = np.random.default_rng(n)
    A = (3 * rng.standard_normal((n, p)) + 1).astype(np.float32)
    A[:, 5] = 2  # a constant feature
    Y = np.stack([A[:, 0] + rng.standard_normal(n), A[:, 1]], axis=1)
    weight = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    cut = [A[:13], A[13:14], A[14:]]
    solve = [
        lambda: ridge(A.copy(), Y, weight, ALPHAS),
        lambda: ridge_of_batches(lambda: cut, Y, weight, ALPHAS),
    ]
    ours = solve[n > p]()
    scaler = StandardScaler().fit(A, sample_weight=weight)
    theirs = RidgeCV(alphas=[ours.alpha], scoring="neg_mean_squared_error", store_cv_results=True)
    theirs.fit(scaler.transform(A), Y, sample_weight=weight)
    np.testing.assert_allclose(ours.standardised, theirs.coef_, rtol=1e-3, atol=1e-5)
    predicted = A @ ours.coef.T + ours.intercept
    np.testing.assert_allclose(predicted, theirs.predict(scaler.transform(A)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.left_out, theirs.cv_results_[..., 0], rtol=2e-3, atol=2e-3)
    if not weighted:
        chosen = RidgeCV(alphas=ALPHAS).fit(scaler.transform(A), Y)
        assert ours.alpha == pytest.approx(chosen.alpha_)
