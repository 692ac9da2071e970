"""A small S5 trained by gradient, as a user of scikit-learn meets it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from estimator_checks import cannot_apply, waves
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import s5ref
from s5ref import S5Classifier, S5Regressor
from s5ref.arrays import Array
from s5ref.estimators import load
from s5ref.estimators.frames import framed
from s5ref.estimators.trained import Source
from s5ref.features.channels import Standard
from s5ref.series import as_series
from s5ref.train.update import Updates

SMALL: dict[str, Any] = {"d_model": 8, "ssm_size": 8, "n_layers": 1, "n_estimators": 1, "random_state": 0}
TINY = SMALL | {"n_filters": 0}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # scikit-learn's
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        S5Classifier(**SMALL, n_filters=20, steps=40, dropout=0),
        S5Regressor(**SMALL, n_filters=20, steps=60, dropout=0, lr=0.03, max_length=1),
    ],
    expected_failed_checks=cannot_apply,
)
def test_what_scikit_learn_asks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_classes() -> None:
    X, y = waves()
    model = S5Classifier(**TINY | {"n_estimators": 2}, steps=80).fit(X[:40], y[:40])
    assert model.score(X[40:], y[40:]) > 0.9
    p = model.predict_proba(X[40:])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (model.classes_[p.argmax(axis=1)] == model.predict(X[40:])).all()
    assert model.history_.shape == (2, 27)  # epochs of three updates; the last of two
    assert (model.history_[:, -1] < model.history_[:, 0]).all()


def test_the_probabilities_are_the_mean_over_the_models() -> None:
    X, y = waves(20)
    model = S5Classifier(**TINY | {"n_estimators": 2}, steps=5).fit(X, y)
    p = model.predict_proba(X)
    both = model.params_, model.statistics_
    alone = []
    for k in range(2):
        model.params_, model.statistics_ = ({name: x[[k]] for name, x in leaves.items()} for leaves in both)
        alone.append(model.predict_proba(X))
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(np.mean(alone, axis=0), p, rtol=1e-6)


def test_the_answer_is_the_mean_of_the_models_and_of_the_ridge() -> None:
    X, y = waves(20)
    both, models = (S5Classifier(**SMALL, n_filters=n, steps=5).fit(X, y).predict_proba(X) for n in (20, 0))
    ridge = s5ref.S5FeatureClassifier(20, random_state=0).fit(X, y).predict_proba(X)
    assert np.abs(ridge - models).max() > 0.01
    np.testing.assert_allclose(both, (models + ridge) / 2, rtol=1e-12)


@pytest.mark.parametrize("values", [1, 2])
def test_the_value_is_the_mean_of_the_models_and_of_the_ridge(values: int) -> None:
    X = np.random.default_rng(0).standard_normal((20, 15))
    y = (10 + 3 * X[:, :values]).squeeze()
    both, models = (S5Regressor(**SMALL, n_filters=n, steps=5).fit(X, y).predict(X) for n in (20, 0))
    ridge = s5ref.S5FeatureRegressor(20, random_state=0).fit(X, y).predict(X)
    assert np.abs(ridge - models).max() > 0.01
    np.testing.assert_allclose(both, (models + ridge) / 2, rtol=1e-4)  # its targets are float32


def test_values() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3, 20))
    y = np.stack([100 + 10 * X[:, 0].mean(axis=1), X[:, 1].mean(axis=1)], axis=1)
    model = S5Regressor(**TINY, steps=150).fit(X[:40], y[:40])
    assert model.predict(X[40:]).shape == (20, 2)
    assert model.score(X[40:], y[40:]) > 0.8
    assert model.fit(X, y[:, 0]).predict(X).shape == (60,)


@pytest.mark.parametrize("max_length", [8, 128])
def test_values_of_every_step(max_length: int) -> None:
    """Of series of unequal lengths, in frames as without; the values of a step stay at that step."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(rng.integers(10, 21)) for _ in range(40)]
    y = [np.stack([5 + x, -x], axis=1) for x in X]
    model = S5Regressor(**TINY, steps=200, per_step=True, max_length=max_length).fit(X[:30], y[:30])
    assert [len(row) for row in model.predict(X[30:])] == [len(x) for x in X[30:]]
    assert model.score(X[30:], y[30:]) > 0.9
    whole = model.fit(rng.standard_normal((9, 15)), rng.standard_normal((9, 15)))
    assert whole.predict(np.ones((4, 15))).shape == (4, 15)


def test_the_causal_model_does_not_see_the_future() -> None:
    X = np.random.default_rng(0).standard_normal((10, 20))
    model = S5Regressor(**SMALL, steps=5, per_step=True, bidirectional=False).fit(X, X)
    assert model.ridge_ is None
    other = X.copy()
    other[:, 12:] += 1
    np.testing.assert_array_equal(model.predict(X)[:, :12], model.predict(other)[:, :12])


def test_the_other_series_of_a_batch_change_nothing() -> None:
    X, y = waves(20)
    model = S5Classifier(**TINY, steps=5).fit(X, y)
    one_by_one = np.concatenate([model.predict_proba([x]) for x in X])
    np.testing.assert_allclose(model.predict_proba(X), one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("max_length", [16, 128])
def test_a_rescaled_clock_changes_nothing(max_length: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 40)).cumsum(axis=1)
    times, y = np.cumsum(rng.choice([0.5, 1, 2], (12, 40)), axis=1), np.arange(12) % 2
    model = S5Classifier(**TINY, steps=5, max_length=max_length)
    seconds = model.fit(X, y, times=times).predict_proba(X, times=times)
    np.testing.assert_array_equal(
        model.fit(X, y, times=1024 * times).predict_proba(X, times=1024 * times), seconds
    )
    assert np.abs(model.predict_proba(X) - seconds).max() > 1e-4


def test_the_same_random_state_gives_the_same_bits() -> None:
    X, y = waves(20)
    p = [S5Classifier(**TINY, steps=10, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2)]
    np.testing.assert_array_equal(p[0], p[1])
    other = S5Classifier(**TINY | {"random_state": 1}, steps=10).fit(X, y).predict_proba(X)
    assert np.abs(other - p[0]).max() > 1e-3


def test_weights_say_how_often_a_series_is_drawn() -> None:
    X, y = np.random.default_rng(0).standard_normal((40, 10)), np.arange(40) % 2
    model = S5Classifier(**TINY, steps=100)
    alike = model.fit(X, y).predict_proba(X)[:, 1].mean()
    by_series = model.fit(X, y, sample_weight=1 + 3.0 * y).predict_proba(X)
    assert by_series[:, 1].mean() > alike + 0.1
    by_class = model.set_params(class_weight={0: 1, 1: 4}).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(by_class, by_series)


def test_an_epoch_draws_each_series_as_its_share_says() -> None:
    share = np.array([0.05, 0.5, 0.25, 0.2])
    by = Standard(np.ones(1), np.ones(1), np.ones((1, 1)))
    source = Source(framed(as_series(np.ones((4, 3))), by, 1.0, 1), share, 2, 0, False)
    counts = np.array([np.bincount(source.drawn(epoch), minlength=4) for epoch in range(400)])
    assert (counts >= np.floor(4 * share)).all()
    assert (counts <= np.ceil(4 * share)).all()
    np.testing.assert_allclose(counts.mean(axis=0), 4 * share, atol=4 * 0.5 / 20)  # four standard errors
    source.share = np.full(4, 0.25)
    assert sorted(source.drawn(0)) == [0, 1, 2, 3]
    assert (source.drawn(0) != source.drawn(1)).any()


def test_a_warm_start_continues() -> None:
    X, y = waves(20)
    model = S5Classifier(**TINY, steps=40, warm_start=True).fit(X, y)
    before = model.history_[0, -1]
    assert model.set_params(lr=1e-9, ssm_lr=1e-9).fit(X, y).history_[0].mean() < 1.5 * before
    with pytest.raises(s5ref.ConfigError, match="classes"):
        model.fit(X, np.where(y == "slow", "a", "b"))
    with pytest.raises(s5ref.ConfigError, match="n_estimators"):
        model.set_params(n_estimators=2).fit(X, y)
    with pytest.raises(s5ref.ShapeError, match="2 channels"):
        model.fit([x[:1] for x in X], y)


def test_an_interrupted_fit_leaves_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = waves(20)
    cold, warm = (S5Classifier(**TINY, steps=3, warm_start=warm).fit(X, y) for warm in (False, True))
    p = warm.predict_proba(X)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Updates, "step", interrupted)
        for model in (cold, warm):
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, y)
    with pytest.raises(NotFittedError):
        cold.predict(X)
    np.testing.assert_array_equal(warm.predict_proba(X), p)


@pytest.mark.parametrize("kind", [S5Classifier, S5Regressor])
def test_stored_and_read_back(kind: Any, tmp_path: Path) -> None:
    X, y = waves(20)
    model = kind(**SMALL, n_filters=20, steps=3, max_length=30).fit(
        X, np.arange(20.0) if kind is S5Regressor else y
    )
    answer = model.predict_proba(X) if kind is S5Classifier else model.predict(X)
    model.save(tmp_path / "model.npz")
    for again in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model.npz")):
        same = again.predict_proba(X) if kind is S5Classifier else again.predict(X)
        np.testing.assert_array_equal(same, answer)
        assert again.get_params() == model.get_params()


@pytest.mark.parametrize(
    ("options", "y", "says"),
    [
        ({}, [0] * 6, "two classes"),
        ({}, None, "y"),
        ({"steps": 0}, [0, 1] * 3, "steps"),
        ({"n_estimators": 0}, [0, 1] * 3, "n_estimators"),
        ({"n_filters": -1}, [0, 1] * 3, "n_filters"),
        ({"pooling": "median"}, [0, 1] * 3, "pooling"),
        ({"lr": 1e30}, [0, 1] * 3, "not finite.*Lower lr"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(options: dict[str, Any], y: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        S5Classifier(**{**TINY, "steps": 9, **options}).fit(np.eye(6), y)


def test_values_of_every_step_must_fit_the_steps() -> None:
    X: list[Array] = [np.arange(5.0), np.arange(4.0)]
    with pytest.raises(s5ref.ShapeError, match=r"series 1 .*4 steps and 5 values"):
        S5Regressor(**TINY, per_step=True).fit(X, [X[0], X[0]])
