"""The estimators as a user of scikit-learn meets them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from estimator_checks import cannot_apply, waves
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import s5ref
from s5ref import DataError, S5FeatureClassifier, S5FeatureRegressor, S5Features
from s5ref.arrays import Array
from s5ref.estimators import load
from s5ref.estimators import ridge as estimators_ridge
from s5ref.series import as_series


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        S5Features(20, random_state=0),
        S5FeatureClassifier(20, random_state=0),
        S5FeatureRegressor(20, random_state=0),
    ],
    expected_failed_checks=cannot_apply,
)
def test_what_scikit_learn_asks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_three_lines() -> None:
    X, y = waves()
    model = S5FeatureClassifier(200, random_state=0).fit(X[:40], y[:40])
    assert model.score(X[40:], y[40:]) == 1
    p = model.predict_proba(X[40:])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (model.classes_[p.argmax(axis=1)] == model.predict(X[40:])).all()
    regressor = S5FeatureRegressor(200, random_state=0).fit(X[:40], np.where(y[:40] == "slow", 0.2, 0.5))
    assert np.abs(regressor.predict(X[40:]) - np.where(y[40:] == "slow", 0.2, 0.5)).mean() < 0.05


def test_probabilities_are_calibrated() -> None:
    """Where the classes cannot be told apart, it says so."""
    X, _ = waves(80)
    y = np.random.default_rng(1).integers(0, 2, 80)
    p = S5FeatureClassifier(100, random_state=0).fit(X[:60], y[:60]).predict_proba(X[60:])
    assert (np.abs(p - 0.5) < 0.2).all()


def test_within_scikit_learn() -> None:
    X, y = waves()
    search = GridSearchCV(S5FeatureClassifier(random_state=0), {"n_filters": [5, 100]}, cv=3, n_jobs=2)
    assert search.fit(X, y).best_score_ > 0.9
    pipeline = make_pipeline(S5Features(100, random_state=0), StandardScaler(), SVC())
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    assert cross_val_score(clone(pipeline), as_series(X), y, cv=3).mean() > 0.9


@pytest.mark.parametrize("kind", [S5Features, S5FeatureClassifier, S5FeatureRegressor])
def test_stored_and_read_back(kind: Any, tmp_path: Path) -> None:
    X, y = waves(20)
    target = np.arange(20.0) if kind is S5FeatureRegressor else y
    model = kind(30, random_state=0).fit(X, target)
    answer = getattr(model, "predict" if hasattr(model, "predict") else "transform")(X)
    model.save(tmp_path / "model.npz")
    for again in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model.npz")):
        method = getattr(again, "predict" if hasattr(again, "predict") else "transform")
        np.testing.assert_array_equal(method(X), answer)
        assert again.get_params() == model.get_params()
    assert pickle.loads(pickle.dumps(kind(30))).get_params() == kind(30).get_params()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    X, y = waves(20)
    S5FeatureClassifier(10).fit(X, y).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(s5ref.DataError, match=r"model\.npz"):
        load(path)


@pytest.mark.parametrize("differences", [1, 2])
def test_a_series_step_by_step(differences: int) -> None:
    X, _ = waves(20)
    model = S5Features(50, online=True, differences=differences, channels="first", random_state=0).fit(X)
    state = model.initial_state()
    for k in range(30):
        state, now = model.update(state, X[0][:, k])
        np.testing.assert_array_equal(now, model.transform([X[0][:, : k + 1]])[0])
    with pytest.raises(s5ref.ConfigError, match="online"):
        S5Features(10).fit(X).initial_state()


def test_a_rescaled_clock_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 40)).cumsum(axis=1)
    times = np.cumsum(rng.uniform(0.5, 3, (12, 40)), axis=1)
    model = S5Features(30, random_state=0)
    seconds = model.fit_transform(X, times=times)
    np.testing.assert_allclose(model.fit_transform(X, times=1000 * times), seconds, rtol=1e-3, atol=1e-3)


def test_irregular_samples_of_slow_and_fast_waves() -> None:
    """What the samples' times tell is used: without them the classes cannot be told apart."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    index = np.arange(60)
    wave = np.sin(0.7 * index + rng.uniform(0, 6.3, (60, 1))) + 0.1 * rng.standard_normal((60, 60))
    times = np.cumsum(rng.uniform(0.5, 1.5, (60, 60)), axis=1) * np.where(y == 0, 1.0, 1.6)[:, None]
    model = S5FeatureClassifier(100, random_state=0).fit(wave[:40], y[:40], times=times[:40])
    assert (model.predict(wave[40:], times=times[40:]) == y[40:]).mean() > 0.9


@pytest.mark.parametrize(
    ("X", "y", "says"),
    [
        (np.ones((1, 9)), [0], "two series"),
        (np.eye(6), [0] * 6, "two classes"),
        (np.eye(6), [0, 1], "equally long"),
        (np.eye(6), None, "y"),
        (np.full((4, 9), np.nan), [0, 1, 0, 1], "all are missing"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(X: Array, y: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        S5FeatureClassifier(10).fit(X, y)


def test_a_series_unlike_all_of_training_is_not_extrapolated_to_any_value() -> None:
    rng = np.random.default_rng(0)
    X, level = rng.standard_normal((40, 20)), rng.uniform(1, 3, 40)
    model = S5FeatureRegressor(50, online=True, random_state=0).fit(X + level[:, None], level)
    high, state = 1e3 * (X[0] + 1), model.initial_state()
    assert model._predict([high], None) > 100
    limit = level.max() + (level.max() - level.min()) / 2
    assert model.predict([high]) == pytest.approx(limit)
    for u in high:
        state, said = model.update(state, [u])
    assert said == pytest.approx(limit)


def test_third_differences_are_refused() -> None:
    with pytest.raises(s5ref.ConfigError, match="differences must be 1 or 2; got 3"):
        S5Features(10, differences=3).fit(np.eye(6))


def test_other_channels_are_refused() -> None:
    X, y = waves(20)
    model = S5FeatureClassifier(10).fit(X, y)
    with pytest.raises(s5ref.ShapeError, match="2 channels"):
        model.predict([x[:1] for x in X])


def test_no_bit_depends_on_the_other_series() -> None:
    X, _ = waves(20)
    model = S5Features(40, random_state=0).fit(X)
    alone = np.concatenate([model.transform([x]) for x in X])
    np.testing.assert_array_equal(model.transform(X), alone)


def test_the_bits_do_not_depend_on_n_jobs() -> None:
    X, y = waves(20)
    one, two = (S5FeatureClassifier(40, random_state=0, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_regressor_takes_second_differences_where_they_help() -> None:
    """The bend of a line on slopes of any steepness, and the mean of noise."""
    rng, t = np.random.default_rng(0), np.linspace(-1, 1, 40)
    slope, bend = 10 * rng.standard_normal((2, 60, 1))
    bent = (
        slope * t + bend * np.maximum(t - rng.uniform(-0.5, 0.5, (60, 1)), 0) + rng.standard_normal((60, 1))
    )
    noise = rng.standard_normal((60, 20))
    for X, y, best, other in ((bent, bend[:, 0], 2, 1), (noise, noise.mean(axis=1), 1, 2)):
        by, unlike, chosen = (
            S5FeatureRegressor(20, differences=k, random_state=0).fit(X, y) for k in (best, other, None)
        )
        assert by.left_out_score_ > unlike.left_out_score_
        assert (chosen.features_.differences, chosen.left_out_score_) == (best, by.left_out_score_)
        np.testing.assert_array_equal(chosen.predict(X), by.predict(X))


def test_features_of_many_series_are_never_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More series than features: computed twice in batches, they give what they give when they are kept."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 20))
    y = X[:, 3:].mean(axis=1)
    kept = S5FeatureRegressor(5, differences=1, random_state=0).fit(X, y)
    monkeypatch.setattr(estimators_ridge, "KEPT", 0)
    monkeypatch.setattr(estimators_ridge, "BATCH", 50)
    computed = S5FeatureRegressor(5, differences=1, random_state=0).fit(X, y)
    np.testing.assert_allclose(computed.coef_, kept.coef_, rtol=1e-6, atol=1e-9)
    assert computed.left_out_score_ == pytest.approx(kept.left_out_score_)
    assert kept.left_out_score_ > 0.9
    monkeypatch.setattr(estimators_ridge, "MANY", 100)
    assert S5FeatureRegressor(random_state=0).fit(X[:100], y[:100]).features_.n_filters == 2000
    monkeypatch.setattr(estimators_ridge, "FEW", 3)
    assert len(S5FeatureRegressor(random_state=0).fit(X, y).importance_) == 3


def test_channels_in_another_order_are_refused() -> None:
    X = np.random.default_rng(0).standard_normal((6, 2, 20))
    named = [replace(as_series(X[i : i + 1]), channels=("temp", "hum")) for i in range(6)]
    model = S5FeatureRegressor(4, random_state=0).fit(named, np.arange(6.0))
    turned = replace(as_series(X), channels=("hum", "temp"))
    with pytest.raises(DataError, match="'temp', 'hum'; got 'hum', 'temp'"):
        model.predict(turned)
    assert np.array_equal(model.predict(X), model.predict(named))  # without names nothing is compared
