"""`S5Features`: series to random S5 features. Mathematics: docs/features.md."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from s5ref.arrays import Array, check_shape
from s5ref.cpu.features import Coefficients, advance, coefficients
from s5ref.engine import Engine, as_engine
from s5ref.errors import ConfigError
from s5ref.estimators.base import SeriesEstimator, threads_of
from s5ref.features.channels import channels, on_grid, standard, unit_of_time
from s5ref.features.filters import draw
from s5ref.features.responses import NAMES, QUANTILES, thresholds
from s5ref.settings import check, check_count


class OnlineState(NamedTuple):
    """What `S5Features.update` carries from step to step: the filters; the standardised channels of the last
    step and their differences (1 + orders, C); the states and reductions of the filters, None before the
    first step; the number of steps.
    """

    filters: Coefficients
    before: Array
    running: Array | None = None
    steps: int = 0


class S5Features(TransformerMixin, SeriesEstimator):
    """Random S5 features: each of many random one-state models answers to a series, and its response is
    reduced to a few numbers.

    Parameters
    ----------
    n_filters : int, default 2000
        Filters; each gives 12 features.
    online : bool, default False
        True: forward filters alone, on channels standardised by the training set, so that `update` can
        compute the features of a series step by step.
    differences : {1, 2}, default 1
        1: the filters see the channels and their first differences; 2: their second differences too.
    channels : {"auto", "first", "last"}, default "auto"
        Where the channels of a 3-d X are, see `s5ref.series.as_series`.
    engine : Engine, str or None, default None
        What computes; None: the default engine.
    n_jobs : int or None, default None
        Threads; None: all cores, or what a parallel `joblib` run leaves to each of its workers.
    random_state : int, RandomState or None, default None
        Of the filters and thresholds.

    Attributes
    ----------
    filters_ : Filters
    standard_ : Standard
        What the channels are standardised by.
    unit_ : float
        The time of one step of the filters: 1, or of series with times the interval of the grid on which the
        lines between their samples are read.
    n_channels_in_ : int
    n_features_in_ : int
        Columns of the X that it was fitted to, if that had two axes. Other series may be longer or shorter.

    Notes
    -----
    ROCKET's idea (Dempster et al., 2020) with state-space filters in the place of convolutions. Features do
    not depend on the number of threads, nor on the other series that are transformed with one.

    Examples
    --------
    >>> import numpy as np
    >>> from s5ref import S5Features
    >>> X = np.random.default_rng(0).standard_normal((20, 50))
    >>> S5Features(n_filters=100, random_state=0).fit_transform(X).shape
    (20, 1200)
    """

    def __init__(
        self,
        n_filters: int = 2000,
        *,
        online: bool = False,
        differences: int = 1,
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

    def fit(self, X: Any, y: Any = None, *, times: Any = None) -> S5Features:
        """Draw filters for series like these.

        Parameters
        ----------
        X : series
            Anything that `s5ref.series.as_series` takes.
        y : ignored
        times : array or list, optional
            When each step was sampled, see `s5ref.series.as_series`.

        Returns
        -------
        S5Features
            Itself.

        Raises
        ------
        S5Error
            On series or parameters that are not valid.
        """
        check_count("n_filters", self.n_filters)
        check("differences", self.differences, "1 or 2", self.differences in (1, 2))
        engine, series = as_engine(self.engine), self._series(X, times, reset=True)
        self.unit_ = unit_of_time(series.times, series.offsets)
        values, offsets = on_grid(series.values, series.offsets, series.times, self.unit_)
        self.standard_ = standard(values, offsets, self.differences)
        seen = channels(values, offsets, self.standard_, self.online)
        seed = int(check_random_state(self.random_state).randint(2**31))
        filters = draw(seed, self.n_filters, seen.z.shape[1], float(np.median(np.diff(offsets))), self.online)
        with threads_of(self.n_jobs):
            self.filters_ = filters._replace(thresholds=thresholds(seed, seen, filters, engine))
        return self

    def transform(self, X: Any, *, times: Any = None) -> Array:
        """(n, 12 n_filters) float32: the features of series, filter by filter.

        Parameters
        ----------
        X, times
            As in `fit`.

        Raises
        ------
        S5Error
            On series that are not valid or have other channels.
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        series, engine = self._series(X, times), as_engine(self.engine)
        grid = on_grid(series.values, series.offsets, series.times, self.unit_)
        seen = channels(*grid, self.standard_, self.online)
        with threads_of(self.n_jobs):
            answers: Array = engine.features(seen, self.filters_, engine)
        return answers.reshape(len(series), -1)

    def initial_state(self) -> OnlineState:
        """The state before the first step of a series, for `update`.

        Raises
        ------
        ConfigError
            Unless ``online`` is True.
        """
        check_is_fitted(self)
        if not self.online:
            raise ConfigError(
                "update needs online=True: otherwise filters go backward, and channels are standardised by "
                "the whole series; got online=False.",
                "Fit with online=True, or `s5ref fit --online`.",
            )
        none = np.zeros((1 + self.differences, self.n_channels_in_))
        return OnlineState(coefficients(self.filters_), none)

    def update(self, state: OnlineState, u: Any) -> tuple[OnlineState, Array]:
        """The state after one more step u (C,), and the features (12 n_filters,) of the series so far, as
        `transform` gives them. Steps are ``unit_`` apart. One takes the same time however many there were.

        Raises
        ------
        ShapeError
            On another number of channels.
        """
        z = check_shape("update", "u", np.asarray(u, np.float64), "C", {"C": self.n_channels_in_})
        views = np.zeros_like(state.before)
        views[0] = (z - self.standard_.mean) / self.standard_.deviation
        for order in range(1, 1 + min(self.differences, state.steps)):  # the first steps have no differences
            views[order] = views[order - 1] - state.before[order - 1]
        seen, steps = np.concatenate([views[0], *(views[1:] / self.standard_.changes)]), state.steps + 1
        running, answers = advance(state.running, seen, state.filters, steps)
        return OnlineState(state.filters, views, running, steps), answers.reshape(-1)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names such as ``filter17_share_1``, in the order of `transform`."""
        check_is_fitted(self)
        each = [*NAMES[:3], *(f"{name}_{q}" for name in NAMES[3:] for q in range(QUANTILES))]
        return np.array([f"filter{f}_{name}" for f in range(self.n_filters) for name in each], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32 whatever X is
        return tags
