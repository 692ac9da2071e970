"""`S5FeatureClassifier` and `S5FeatureRegressor`: random S5 features and a ridge, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.preprocessing import label_binarize
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.estimators.base import SeriesClassifier, SeriesEstimator, check_given
from s5ref.estimators.features import OnlineState, S5Features
from s5ref.estimators.solve import Batches, Ridge, ridge, ridge_of_batches
from s5ref.series.series import Series

ALPHAS = np.logspace(-3, 5, 17)
MANY, FILTERS, FEW = 5000, 2000, 400  # more series than that have few filters
BEYOND = 0.5  # of the range of the training targets: a prediction may lie so far outside it
BATCH, KEPT = 1024, 2**30  # series whose features are computed at a time; bytes of features that are kept


class _Ridge(SeriesEstimator):
    """A ridge on standardised S5 features. Its strength is chosen by leave-one-out."""

    n_filters: int | None
    differences: int | None

    def _fit(self, series: Series, Y: Array, weight: Array | None) -> Array:
        """Fit to Y (n, K); what each series is given by the model of the others, (n, K)."""
        weight = np.ones(len(Y)) if weight is None else weight
        orders = (1, 2) if self.differences is None else (self.differences,)

        def error(fit: tuple[S5Features, Ridge]) -> float:
            return float(weight @ np.sum((Y - fit[1].left_out) ** 2, axis=1))

        self.features_, solved = min((self._solved(series, Y, weight, k) for k in orders), key=error)
        self.alpha_, self.coef_, self.intercept_ = solved.alpha, solved.coef, solved.intercept
        by_filter = solved.standardised.reshape(Y.shape[1], self.features_.n_filters, -1)
        self.importance_ = np.linalg.norm(by_filter, axis=(0, 2))
        return solved.left_out

    def _solved(self, series: Series, Y: Array, weight: Array, differences: int) -> tuple[S5Features, Ridge]:
        """The features with these ``differences``, and the ridge on them."""
        given = {name: getattr(self, name) for name in S5Features().get_params()}
        if self.n_filters is None:
            given["n_filters"] = FILTERS if len(series) <= MANY else FEW
        features = S5Features(**given | {"differences": differences}).fit(series)
        n, p = len(series), 12 * features.n_filters
        if n <= p:
            return features, ridge(features.transform(series), Y, weight, ALPHAS)
        return features, ridge_of_batches(_batches(features, series, 4 * n * p <= KEPT), Y, weight, ALPHAS)

    def _predict(self, X: Any, times: Any) -> Array:
        """(n, K)."""
        check_is_fitted(self)
        batches = _batches(self.features_, self._series(X, times), False)()
        return np.concatenate([features @ self.coef_.T + self.intercept_ for features in batches])

    def initial_state(self) -> OnlineState:
        """The state before the first step of a series, for `update`; see `S5Features.initial_state`."""
        check_is_fitted(self)
        return self.features_.initial_state()

    def _update(self, state: OnlineState, u: Any) -> tuple[OnlineState, Array]:
        state, features = self.features_.update(state, u)
        return state, features[None] @ self.coef_.T + self.intercept_


class S5FeatureClassifier(SeriesClassifier, _Ridge):
    """Classifier of series: random S5 features and a ridge.

    Parameters
    ----------
    n_filters : int or None, default None
        None: 2,000, or 400 for more than 5,000 series.
    differences : {1, 2} or None, default 1
        See `S5FeatureRegressor`.
    online, channels, engine, n_jobs, random_state
        See `S5Features`.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes, as of scikit-learn's classifiers.

    Attributes
    ----------
    classes_ : (K,) array
    features_ : S5Features
    alpha_ : float
        Strength of the ridge.
    temperature_ : float
        What decisions are multiplied by before the softmax of `predict_proba`: the one of the least log loss
        of decisions about series that were left out, with one more of each class for what was not seen
        (Laplace).
    left_out_score_ : float
        Accuracy on the training series, each classified by the model of the others.
    importance_ : (n_filters,) array
        Norm of the coefficients of each filter's standardised features.
    n_channels_in_, n_features_in_
        See `S5Features`.

    Examples
    --------
    >>> import numpy as np
    >>> from s5ref import S5FeatureClassifier
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(100)
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> rate = np.where(y == "slow", 0.2, 0.3)[:, None]
    >>> X = np.sin(rate * t + rng.uniform(0, 6.3, (40, 1))) + rng.standard_normal((40, 100))
    >>> model = S5FeatureClassifier(n_filters=200, random_state=0).fit(X[::2], y[::2])
    >>> float(model.score(X[1::2], y[1::2]))
    1.0
    """

    def __init__(
        self,
        n_filters: int | None = None,
        *,
        class_weight: Any = None,
        online: bool = False,
        differences: int | None = 1,
        channels: str = "auto",
        engine: Engine | str | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_filters = n_filters
        self.class_weight = class_weight
        self.online = online
        self.differences = differences
        self.channels = channels
        self.engine = engine
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, times: Any = None) -> S5FeatureClassifier:
        """Fit to series and their classes.

        Parameters
        ----------
        X : series
            Anything that `s5ref.series.as_series` takes.
        y : (n,) array
            Classes: strings or integers.
        sample_weight : (n,) array, optional
        times : array or list, optional
            When each step was sampled, see `s5ref.series.as_series`.

        Returns
        -------
        S5FeatureClassifier
            Itself.

        Raises
        ------
        S5Error
            On series, parameters or targets that are not valid; fewer than two classes.
        """
        series, truth, weight = self._labelled(X, y, times, sample_weight)
        signs = label_binarize(truth, classes=range(len(self.classes_)), neg_label=-1).astype(float)
        decisions = _columns(self._fit(series, signs, weight))
        n, K = len(truth), len(self.classes_)
        likely = (n * (truth[:, None] == np.arange(K)) + 1) / (n + K)  # Laplace's rule: nothing is certain

        def log_loss(log_temperature: float) -> float:
            log_p = log_softmax(np.exp(log_temperature) * decisions, axis=1)
            return -float(np.average(np.sum(likely * log_p, axis=1), weights=weight))

        self.left_out_score_ = float(np.average(decisions.argmax(axis=1) == truth, weights=weight))
        self.temperature_ = float(np.exp(minimize_scalar(log_loss, bounds=(-5, 5), method="bounded").x))
        return self

    def decision_function(self, X: Any, *, times: Any = None) -> Array:
        """(n, K), or (n,) for two classes: the larger, the more likely; the sign decides between two."""
        decisions = self._predict(X, times)
        return decisions[:, 0] if decisions.shape[1] == 1 else decisions

    def predict(self, X: Any, *, times: Any = None) -> Array:
        """(n,) classes."""
        best = np.argmax(_columns(self._predict(X, times)), axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any, *, times: Any = None) -> Array:
        """(n, K) probabilities of the classes, calibrated on series that were left out."""
        return self._probabilities(self._predict(X, times))

    def update(self, state: OnlineState, u: Any) -> tuple[OnlineState, Array]:
        """The state after one more step u (C,), and the probabilities (K,) of the classes given the series so
        far, as `predict_proba` gives them.
        """
        state, decisions = self._update(state, u)
        return state, self._probabilities(decisions)[0]

    def _probabilities(self, decisions: Array) -> Array:
        p: Array = softmax(self.temperature_ * _columns(decisions), axis=1)
        return p


class S5FeatureRegressor(RegressorMixin, _Ridge):
    """Regressor of series: random S5 features and a ridge.

    Parameters
    ----------
    n_filters : int or None, default None
        See `S5FeatureClassifier`.
    differences : {1, 2} or None, default None
        See `S5Features`. None: the one with the least squared error on series that are left out, for twice
        the time.
    online, channels, engine, n_jobs, random_state
        See `S5Features`.

    Attributes
    ----------
    left_out_score_ : float
        R² on the training series, each predicted by the model of the others.
    limits_ : (2, K) array
        The least and the largest values that are predicted: half the range of the training targets beyond
        them. A series unlike all of training would be extrapolated to any value.
    features_, alpha_, importance_, n_channels_in_, n_features_in_
        See `S5FeatureClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from s5ref import S5FeatureRegressor
    >>> rng = np.random.default_rng(0)
    >>> rate = rng.uniform(0.1, 0.5, 60)
    >>> X = np.sin(rate[:, None] * np.arange(80) + rng.uniform(0, 6.3, (60, 1)))
    >>> model = S5FeatureRegressor(n_filters=200, random_state=0).fit(X[:40], rate[:40])
    >>> model.score(X[40:], rate[40:]) > 0.9
    True
    """

    def __init__(
        self,
        n_filters: int | None = None,
        *,
        online: bool = False,
        differences: int | None = None,
        channels: str = "auto",
        engine: Engine | str | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_filters = n_filters
        self.online = online
        self.differences = differences
        self.channels = channels
        self.engine = engine
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, times: Any = None) -> S5FeatureRegressor:
        """Fit to series and their values.

        Parameters
        ----------
        X : series
            Anything that `s5ref.series.as_series` takes.
        y : (n,) or (n, K) array
            One value, or K values, a series.
        sample_weight : (n,) array, optional
        times : array or list, optional
            When each step was sampled, see `s5ref.series.as_series`.

        Returns
        -------
        S5FeatureRegressor
            Itself.

        Raises
        ------
        S5Error
            On series, parameters or targets that are not valid.
        """
        check_given(self, y)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        series, y, weight = self._weighted(X, y, times, sample_weight)
        self._one = y.ndim == 1
        targets = y.reshape(len(y), -1)
        left_out = self._fit(series, targets, weight)
        low, high = targets.min(axis=0), targets.max(axis=0)
        self.limits_ = np.array([low - BEYOND * (high - low), high + BEYOND * (high - low)])
        self.left_out_score_ = float(r2_score(targets, left_out, sample_weight=weight))
        return self

    def predict(self, X: Any, *, times: Any = None) -> Array:
        """(n,) or (n, K) values."""
        predicted: Array = np.clip(self._predict(X, times), *self.limits_)
        return predicted[:, 0] if self._one else predicted

    def update(self, state: OnlineState, u: Any) -> tuple[OnlineState, Array]:
        """The state after one more step u (C,), and the values (K,) given the series so far."""
        state, values = self._update(state, u)
        return state, np.clip(values[0], *self.limits_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _batches(features: S5Features, series: Series, kept: bool) -> Batches:
    """The features of series in batches; ``kept`` in memory, or else computed each time."""

    def computed() -> Iterator[Array]:
        return (features.transform(series[k : k + BATCH]) for k in range(0, len(series), BATCH))

    all_of_them = list(computed()) if kept else []
    return (lambda: all_of_them) if kept else computed


def _columns(decisions: Array) -> Array:
    """(n, K): for two classes one decision and its opposite."""
    return np.hstack([-decisions, decisions]) if decisions.shape[1] == 1 else decisions
