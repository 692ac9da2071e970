"""`S5Classifier` and `S5Regressor`: a small S5 model, trained by gradient, beside a ridge on random S5
features.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from s5ref import random
from s5ref.arrays import Array
from s5ref.engine import Engine, as_engine
from s5ref.errors import ConfigError, NumericalError, ShapeError
from s5ref.estimators.base import SeriesClassifier, SeriesEstimator, check_given, threads_of
from s5ref.estimators.frames import Framed, framed, in_frames
from s5ref.estimators.ridge import S5FeatureClassifier, S5FeatureRegressor
from s5ref.features.channels import standard
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.optim import AdamW
from s5ref.series.series import Series, offsets_of
from s5ref.settings import check_count
from s5ref.terminal import Timer
from s5ref.train.evaluate import outputs
from s5ref.train.results import NonFinite
from s5ref.train.update import Updates, Weights

BATCH, UPDATES, EPOCHS = 16, 600, 40  # a batch at most; updates and epochs at least
WARM_UP = 0.1  # of the updates
AT_A_TIME = 64  # series in a batch of a prediction


class _Trained(SeriesEstimator):
    """Several fits of one model, from different initial parameters, and a ridge on random features. Their
    answers are averaged.
    """

    d_model: int
    ssm_size: int
    n_layers: int
    n_estimators: int
    n_filters: int | None
    steps: int | None
    batch_size: int | None
    lr: float
    ssm_lr: float
    weight_decay: float
    pooling: str
    dropout: float
    bidirectional: bool
    max_length: int
    channels: str
    engine: Engine | str | None
    n_jobs: int | None
    warm_start: bool
    verbose: int
    random_state: Any
    augment = False
    _ridge: type[S5FeatureClassifier] | type[S5FeatureRegressor]

    @property
    def _head(self) -> str:
        return "classifier"

    @property
    def _outputs(self) -> int:
        """Of the model: classes, or values."""
        raise NotImplementedError

    @property
    def _continues(self) -> bool:
        return self.warm_start and hasattr(self, "params_")

    @property
    def model(self) -> Model:
        """What each fit trains; of a fitted estimator."""
        return Model(
            ModelConfig(
                self.d_model, self.ssm_size, bidirectional=self.bidirectional, dropout=self.dropout,
                n_layers=self.n_layers, in_dim=2 * self.n_channels_in_ * self.frame_, n_classes=self._outputs,
                pooling=self.pooling, padding="masked", head=self._head,
            )
        )  # fmt: skip

    def _fit(self, series: Series, targets: Array, weight: Array | None) -> None:
        """Fit to targets: (n,) classes, or (n, K) or (T, K) values."""
        if not self._continues:
            self.__dict__.pop("params_", None)  # interrupted, it is not fitted
        for name in ("n_estimators", "max_length", "batch_size", "steps"):
            if name in ("n_estimators", "max_length") or getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        engine, n = as_engine(self.engine), len(series)
        if not self._continues:
            given = series.intervals
            self.unit_ = 1.0 if given is None or not given.size else float(np.median(given))
            self.standard_ = standard(series.values, series.offsets)
            self.frame_ = -(-int(series.lengths.max()) // self.max_length)
        model, ridge = self.model, None
        if self.n_filters != 0 and not model.head.stepwise:
            ridge = self._ridge(
                self.n_filters, channels=self.channels, engine=self.engine, n_jobs=self.n_jobs,
                random_state=self.random_state,
            ).fit(series, targets, weight)  # fmt: skip
        data = framed(series, self.standard_, self.unit_, self.frame_)
        if model.head.stepwise:
            rows, _ = in_frames(series.offsets, self.frame_)
            targets = targets[rows].reshape(len(rows), -1)
        data = data._replace(targets=targets, per_step=model.head.stepwise)
        seeds = check_random_state(self.random_state).randint(2**31, size=self.n_estimators).tolist()
        starts = self.weights() if self._continues else [model.init(seed) for seed in seeds]
        if len(starts) != len(seeds):
            raise ConfigError(
                f"warm_start continues {len(starts)} models; got n_estimators={len(seeds)}.",
                "Keep n_estimators, or pass warm_start=False.",
            )
        batch = min(BATCH if self.batch_size is None else self.batch_size, n)
        per_epoch = -(-n // batch)
        updates = max(UPDATES, EPOCHS * per_epoch) if self.steps is None else self.steps
        optimizer = AdamW(
            ssm_lr=self.ssm_lr, lr=self.lr, weight_decay=self.weight_decay,
            schedule="warmup_cosine", warmup_steps=int(WARM_UP * updates), total_steps=updates,
        )  # fmt: skip
        share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
        ended, histories = [], []
        with threads_of(self.n_jobs):
            for k, (seed, (params, statistics)) in enumerate(zip(seeds, starts, strict=True)):
                weights = Weights(params, optimizer.init(params).moments, statistics, 0)
                source = Source(data, share, batch, seed, self.augment)
                trained = Updates(model, weights, optimizer.groups(params), engine, source, seed).on_engine()
                losses = self._losses(trained, optimizer, f"fit {k + 1}/{len(seeds)}")
                ended.append((trained.weights.params, trained.weights.statistics))
                histories.append([np.mean(losses[i : i + per_epoch]) for i in range(0, updates, per_epoch)])
        self.params_, self.statistics_ = (
            {name: np.stack([each[name] for each in leaves]) for name in leaves[0]}
            for leaves in zip(*ended, strict=True)
        )
        self.history_, self.ridge_ = np.array(histories), ridge

    def _losses(self, trained: Updates, optimizer: AdamW, name: str) -> list[float]:
        """Make all updates; the loss of each."""
        losses: list[float] = []
        timer, total = Timer(), optimizer.total_steps
        for step in range(total):
            try:
                losses.append(trained.step(optimizer.rates(step))[0])
            except NonFinite as error:
                raise NumericalError(error.message, "Lower lr and ssm_lr.") from None
            if self.verbose and (timer.due() or step + 1 == total):
                recent = np.mean(losses[-50:])
                print(f"{name}  update {step + 1}/{total}  loss {recent:.4f}", file=sys.stderr, flush=True)
        return losses

    def weights(self) -> list[tuple[dict[str, Array], dict[str, Array]]]:
        """Parameters and statistics of each model."""
        n = len(self.params_["encoder.kernel"])
        return [
            (
                {name: x[k] for name, x in self.params_.items()},
                {name: x[k] for name, x in self.statistics_.items()},
            )
            for k in range(n)
        ]

    def _predicted(self, series: Series) -> Iterator[Array]:
        """(n_estimators, N, …) float64: what each model says of the next N series."""
        data = framed(series, self.standard_, self.unit_, self.frame_)
        model, engine = self.model, as_engine(self.engine)
        with threads_of(self.n_jobs):
            for start in range(0, len(series), AT_A_TIME):
                chosen = np.arange(start, min(start + AT_A_TIME, len(series)))
                batch = data.batch(chosen)
                each = (outputs(model, *weights, [batch], engine) for weights in self.weights())
                yield np.array([output for ((_, output),) in each], np.float64)


class Source:
    """The batch of update k: a function of (seed, k). All have one size: a recorded GPU step needs it."""

    def __init__(self, data: Framed, share: Array, batch: int, seed: int, augment: bool) -> None:
        self.data, self.share, self.batch, self.seed, self.augment = data, share, batch, seed, augment
        self.per_epoch, self.frames = -(-len(share) // batch), int(np.diff(data.offsets).max())
        self.order: tuple[int, Array] = -1, share

    def __call__(self, k: int) -> Batch:
        epoch, start = k // self.per_epoch, k % self.per_epoch * self.batch
        if self.order[0] != epoch:
            self.order = epoch, self.drawn(epoch)
        chosen = np.take(self.order[1], np.arange(start, start + self.batch), mode="wrap")
        rng = random.generator(self.seed, "augment", k) if self.augment else None
        return self.data.batch(chosen, rng, self.frames)

    def drawn(self, epoch: int) -> Array:
        """n series in random order, each n · share times, rounded up or down at random."""
        rng, n = random.generator(self.seed, "order", epoch), len(self.share)
        even = (np.arange(n) + rng.uniform()) / n
        return rng.permutation(np.searchsorted(np.cumsum(self.share)[:-1], even, side="right"))


class S5Classifier(SeriesClassifier, _Trained):
    """Classifier of series: a small S5 model, trained by gradient, beside a ridge on random S5 features.

    Parameters
    ----------
    d_model, ssm_size, n_layers : int
        Sizes of the model, see `s5ref.ModelConfig`.
    n_estimators : int, default 3
        Models, each trained from initial parameters of its own on all series; their probabilities are
        averaged.
    n_filters : int or None, default None
        Filters of an `S5FeatureClassifier` that is fitted to the same series; nothing of it is trained by
        gradient. The answer is the mean of its probabilities and those of the models. 0: the models alone;
        None: as many as it takes by default.
    steps : int or None, default None
        Updates of each model; None: 40 epochs, but at least 600 updates.
    batch_size : int or None, default None
        Series in an update; None: 16. All series where they are fewer.
    lr, ssm_lr : float
        Rates of AdamW, of the SSM's parameters and of all others. The first tenth of the updates is a linear
        warm-up, the rest a cosine to 0; the last weights are kept.
    weight_decay : float, default 0.05
        Of AdamW.
    pooling : {"mean+max", "mean", "max", "last"}, default "mean+max"
        From the steps of a series to one vector, see `s5ref.ModelConfig`.
    dropout : float, default 0.1
        Probability that a feature of a series is zero in an update.
    bidirectional : bool, default True
        Scan the series in both directions.
    augment : bool, default True
        In each update crop every series by up to 30 %, stretch it to the length that it had, and set a part
        of 30 % of it to the mean.
    max_length : int, default 128
        Steps that the model scans. If the longest series has k times as many, every k steps are one step of
        the model, of k times as many channels.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes, as of scikit-learn's classifiers.
    channels : {"auto", "first", "last"}, default "auto"
        Where the channels of a 3-d X are, see `s5ref.series.as_series`.
    engine : Engine, str or None, default None
        What computes; None: the default engine.
    n_jobs : int or None, default None
        Threads; None: all cores, or what a parallel `joblib` run leaves to each of its workers.
    warm_start : bool, default False
        `fit` continues from the weights of the last one, with a schedule of its own; channels, classes and
        sizes must be the same, and series are standardised as they were.
    verbose : int, default 0
        1: a line on stderr every ten seconds.
    random_state : int, RandomState or None, default None
        Of filters, initial parameters, order, augmentation and dropout.

    Attributes
    ----------
    classes_ : (K,) array
    ridge_ : S5FeatureClassifier or None
        Of the classes as integers.
    params_, statistics_ : dict of arrays (n_estimators, …)
        Of the models, by the names of `s5ref.Model.init`.
    history_ : (n_estimators, epochs) array
        Mean loss of each epoch of the last `fit`.
    standard_ : Standard
        What the channels are standardised by.
    frame_ : int
        Steps of a series in a step of the model.
    unit_ : float
        The unit of time: 1 step, or the median interval of the training series.
    n_channels_in_, n_features_in_
        See `S5Features`.

    Notes
    -----
    Inputs are the channels, standardised by the training set, and their first differences. Padding is masked.
    Intervals between irregular samples reach the model in units of the median one. A series of weight w is
    drawn w/Σw of the time: n·w/Σw times an epoch on average. The same ``random_state`` gives the same bits
    for any number of threads. A `fit` that is interrupted leaves the estimator unfitted; with ``warm_start``
    it keeps the weights that it had. A warm start continues the models; the ridge is fitted anew.

    Examples
    --------
    >>> import numpy as np
    >>> from s5ref import S5Classifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["rises", "falls"], 20)
    >>> slope = np.where(y == "rises", 1, -1)[:, None]
    >>> X = slope * np.linspace(-1, 1, 30) + 0.5 * rng.standard_normal((40, 30))
    >>> model = S5Classifier(8, 8, 1, n_estimators=1, steps=40, random_state=0).fit(X[::2], y[::2])
    >>> float(model.score(X[1::2], y[1::2]))
    1.0
    """

    def __init__(
        self,
        d_model: int = 32,
        ssm_size: int = 32,
        n_layers: int = 2,
        *,
        n_estimators: int = 3,
        n_filters: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float = 1e-2,
        ssm_lr: float = 5e-3,
        weight_decay: float = 0.05,
        pooling: str = "mean+max",
        dropout: float = 0.1,
        bidirectional: bool = True,
        augment: bool = True,
        max_length: int = 128,
        class_weight: Any = None,
        channels: str = "auto",
        engine: Engine | str | None = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.d_model = d_model
        self.ssm_size = ssm_size
        self.n_layers = n_layers
        self.n_estimators = n_estimators
        self.n_filters = n_filters
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.ssm_lr = ssm_lr
        self.weight_decay = weight_decay
        self.pooling = pooling
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.augment = augment
        self.max_length = max_length
        self.class_weight = class_weight
        self.channels = channels
        self.engine = engine
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, times: Any = None) -> S5Classifier:
        """Fit to series and their classes.

        Parameters
        ----------
        X : series
            Anything that `s5ref.series.as_series` takes.
        y : (n,) array
            Classes: strings or integers.
        sample_weight : (n,) array, optional
            How often each series is drawn, relative to the others.
        times : array or list, optional
            When each step was sampled, see `s5ref.series.as_series`.

        Returns
        -------
        S5Classifier
            Itself.

        Raises
        ------
        S5Error
            On series, parameters or targets that are not valid; fewer than two classes; a loss that is not
            finite.
        """
        before: Any = getattr(self, "classes_", None)
        series, truth, weight = self._labelled(X, y, times, sample_weight)
        if self._continues and not np.array_equal(before, self.classes_):
            self.classes_, got = before, self.classes_
            raise ConfigError(
                f"warm_start continues with the classes {before}; got {got}.",
                "Give series of all classes, or pass warm_start=False.",
            )
        self._fit(series, truth, weight)
        return self

    def predict(self, X: Any, *, times: Any = None) -> Array:
        """(n,) classes: the most probable ones."""
        best = np.argmax(self.predict_proba(X, times=times), axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any, *, times: Any = None) -> Array:
        """(n, K) probabilities of the classes: the mean of the ridge's and of the models' mean."""
        check_is_fitted(self, "params_")
        series = self._series(X, times)
        p = np.concatenate([np.exp(y).mean(axis=0) for y in self._predicted(series)])
        p /= p.sum(axis=1, keepdims=True)
        return p if self.ridge_ is None else (p + self.ridge_.predict_proba(series)) / 2

    _ridge = S5FeatureClassifier

    @property
    def _outputs(self) -> int:
        return len(self.classes_)


class S5Regressor(RegressorMixin, _Trained):
    """Regressor of series: a small S5 model, trained by gradient, beside a ridge on random S5 features.

    Parameters
    ----------
    d_model, ssm_size, n_layers, n_estimators, n_filters, steps, batch_size, lr, ssm_lr, weight_decay
        See `S5Classifier`.
    pooling : {"mean", "mean+max", "max", "last"}, default "mean"
        From the steps of a series to one vector; without meaning with ``per_step``.
    dropout, bidirectional
        See `S5Classifier`.
    per_step : bool, default False
        A value at every step of a series, instead of one for the series. The ridge, which has none, is left
        out: ``n_filters`` is without meaning.
    max_length, channels, engine, n_jobs, warm_start, verbose, random_state
        See `S5Classifier`.

    Attributes
    ----------
    target_mean_, target_deviation_ : (K,) arrays
        What the targets are standardised by.
    ridge_ : S5FeatureRegressor or None
        Of the standardised targets.
    params_, statistics_, history_, standard_, frame_, unit_, n_channels_in_, n_features_in_
        See `S5Classifier`.

    Notes
    -----
    See `S5Classifier`. Series are not augmented. With ``bidirectional=False`` and series of at most
    ``max_length`` steps, the value at a step depends on that step and those before alone.

    Examples
    --------
    >>> import numpy as np
    >>> from s5ref import S5Regressor
    >>> X = np.random.default_rng(0).standard_normal((60, 30))
    >>> y = np.cumsum(X, axis=1) / 5
    >>> model = S5Regressor(16, 16, 1, n_estimators=1, steps=200, per_step=True, random_state=0)
    >>> model = model.fit(X[:40], y[:40])
    >>> model.predict(X[40:]).shape
    (20, 30)
    >>> model.score(X[40:], y[40:]) > 0.8
    True
    """

    def __init__(
        self,
        d_model: int = 32,
        ssm_size: int = 32,
        n_layers: int = 2,
        *,
        n_estimators: int = 3,
        n_filters: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float = 1e-2,
        ssm_lr: float = 5e-3,
        weight_decay: float = 0.05,
        pooling: str = "mean",
        dropout: float = 0.1,
        bidirectional: bool = True,
        per_step: bool = False,
        max_length: int = 128,
        channels: str = "auto",
        engine: Engine | str | None = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.d_model = d_model
        self.ssm_size = ssm_size
        self.n_layers = n_layers
        self.n_estimators = n_estimators
        self.n_filters = n_filters
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.ssm_lr = ssm_lr
        self.weight_decay = weight_decay
        self.pooling = pooling
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.per_step = per_step
        self.max_length = max_length
        self.channels = channels
        self.engine = engine
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, times: Any = None) -> S5Regressor:
        """Fit to series and their values.

        Parameters
        ----------
        X : series
            Anything that `s5ref.series.as_series` takes.
        y : (n,) or (n, K) array
            One value, or K values, a series. With ``per_step`` (n, L) or (n, L, K), or a list of (L_i,) or
            (L_i, K) arrays.
        sample_weight : (n,) array, optional
            How often each series is drawn, relative to the others.
        times : array or list, optional
            When each step was sampled, see `s5ref.series.as_series`.

        Returns
        -------
        S5Regressor
            Itself.

        Raises
        ------
        S5Error
            On series, parameters or targets that are not valid; a loss that is not finite.
        """
        check_given(self, y)
        if self.per_step:
            targets = _of_steps(y)
            series, targets, weight = self._weighted(X, targets, times, sample_weight)
            if wrong := np.flatnonzero(series.lengths != targets.lengths).tolist():
                i = wrong[0]
                raise ShapeError(
                    f"y must have a value for every step; series {i} of those that have a weight has "
                    f"{series.lengths[i]} steps and {targets.lengths[i]} values.",
                    "Give y as (n, L), (n, L, K) or a list; of X, steps without any value are left out.",
                )
            self._axes, values = np.ndim(y[0]), targets.values
        else:
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
            series, values, weight = self._weighted(X, y, times, sample_weight)
            self._axes, values = y.ndim, values.reshape(len(values), -1)
        if not self._continues:
            self.target_mean_, deviation = values.mean(axis=0), values.std(axis=0)
            self.target_deviation_ = np.where(deviation > 0, deviation, 1)
        self._fit(series, ((values - self.target_mean_) / self.target_deviation_).astype(np.float32), weight)
        return self

    def predict(self, X: Any, *, times: Any = None) -> Any:
        """(n,) or (n, K) values. With ``per_step`` (n, L) or (n, L, K), or a list of (L_i,) or (L_i, K)
        arrays if lengths are unequal.
        """
        check_is_fitted(self, "params_")
        series, K, rows = self._series(X, times), len(self.target_mean_), []
        for each in self._predicted(series):
            rows.extend(each.mean(axis=0).reshape(each.shape[1], -1, K))
        if self.ridge_ is not None:
            rows = [(row + said) / 2 for row, said in zip(rows, self.ridge_.predict(series), strict=True)]
        rows = [self.target_mean_ + self.target_deviation_ * row for row in rows]
        if self._axes == 1:
            rows = [row[:, 0] for row in rows]
        if not self.per_step:
            return np.concatenate(rows)
        rows = [row[:length] for row, length in zip(rows, series.lengths, strict=True)]
        return np.array(rows) if np.ptp(series.lengths) == 0 else rows

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of `predict`; with ``per_step`` over the steps of all series."""
        if not self.per_step:
            return float(super().score(X, y, sample_weight))
        truth = _of_steps(y)
        weight = None if sample_weight is None else np.repeat(sample_weight, truth.lengths)
        return float(r2_score(truth.values, _of_steps(self.predict(X)).values, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    _ridge = S5FeatureRegressor

    @property
    def _head(self) -> str:
        return "regression" if self.per_step else "pooled_regression"

    @property
    def _outputs(self) -> int:
        return len(self.target_mean_) * (self.frame_ if self.per_step else 1)


def _of_steps(y: Any) -> Series:
    """Values of every step as a Series: (n, L), (n, L, K), or a list of (L_i,) or (L_i, K)."""
    rows = [check_array(row, ensure_2d=False, dtype=np.float64, input_name="y") for row in y]
    rows = [row.reshape(len(row), -1) for row in rows]
    if len({row.shape[1] for row in rows}) > 1:
        raise ShapeError("y must have as many values at every step; got different numbers.", "Check y.")
    return Series(np.concatenate(rows), offsets_of([len(row) for row in rows]))
