"""What all estimators of series share: what they take, and how they are stored."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from s5ref.arrays import Array
from s5ref.cpu.parallel import at_most
from s5ref.errors import DataError, ShapeError
from s5ref.estimators import store
from s5ref.machine import usable_cores
from s5ref.series.convert import as_series
from s5ref.series.series import Series, shown


class SeriesEstimator(BaseEstimator):
    """An estimator whose X is anything that `s5ref.series.as_series` takes."""

    channels: Any
    channel_names_: Array | None = None  # of the series that it was fitted to, where they had some

    def _series(self, X: Any, times: Any = None, *, reset: bool = False) -> Series:
        """X as a Series; its channels are learned with ``reset`` and checked without."""
        if (
            not isinstance(X, Series | list | tuple)
            and not hasattr(X, "columns")
            and getattr(X, "ndim", 2) < 3
        ):
            X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", estimator=self)
        series = as_series(X, times=times, channels=self.channels)
        C = series.values.shape[1]
        if reset:
            self.n_channels_in_ = C
            self.channel_names_ = None if series.channels is None else np.array(series.channels)
            if hasattr(X, "shape") and len(X.shape) == 2:
                self.n_features_in_ = int(X.shape[1])
        elif self.n_channels_in_ != C:
            raise ShapeError(
                f"X must have the {self.n_channels_in_} channels that {type(self).__name__} was fitted to; "
                f"got {C}.",
                "Check the order of the axes: (n, channels, steps), or channels='last'.",
            )
        elif (
            (names := self.channel_names_) is not None
            and series.channels is not None
            and names.tolist() != list(series.channels)
        ):
            raise DataError(
                f"X must have the channels that {type(self).__name__} was fitted to, in their order: "
                f"{shown(names.tolist())}; got {shown(series.channels)}.",
                "Put them in that order; of tokens pass the alphabet, tokens=[…].",
            )
        return series

    @property
    def _continues(self) -> bool:
        """Whether `fit` goes on from the last one."""
        return False

    def _weighted(self, X: Any, y: Any, times: Any, weight: Any) -> tuple[Series, Any, Array | None]:
        """X and y without what has no weight, and the weights of the rest."""
        series = self._series(X, times, reset=not self._continues)
        if len(series) != len(y):
            raise DataError(
                f"X and y must be equally long; got {len(series)} series and {len(y)} targets.",
                "Give one target a series.",
            )
        if len(series) < 2:
            raise DataError("At least two series are needed; got n_samples=1.", "Give more series.")
        if weight is None:
            return series, y, None
        weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weight.shape != (len(y),):
            raise DataError(
                f"sample_weight must be ({len(y)},); got {weight.shape}.", "Give one weight a series."
            )
        kept = weight != 0
        if not kept.any():
            raise DataError("At least one sample_weight must not be zero; all are.", "Check sample_weight.")
        return series[kept], y[kept], weight[kept]

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file, whole or not at all; `s5ref.estimators.load` reads it.

        Raises
        ------
        ConfigError
            On a parameter that no file can hold.
        """
        store.save(self, path)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        store.ESTIMATORS[cls.__name__] = cls

    def __getstate__(self) -> dict[str, Any]:
        params = self.get_params(deep=False)
        fitted = {name: value for name, value in vars(self).items() if name not in params}
        return {"params": params, "fitted": store.dumps(fitted)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["params"], **store.loads(state["fitted"]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags


class SeriesClassifier(ClassifierMixin, SeriesEstimator):
    """A classifier of series, whose y are strings or integers."""

    class_weight: Any

    def _labelled(self, X: Any, y: Any, times: Any, sample_weight: Any) -> tuple[Series, Array, Array | None]:
        """Series, their classes as indices of ``classes_``, which are learned, and weights, which include
        those of the classes.
        """
        check_given(self, y)
        y = column_or_1d(y, warn=True)
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        series, y, weight = self._weighted(X, y, times, sample_weight)
        self.classes_, truth = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y must hold at least two classes; got one class: {self.classes_[0]!r}.", "Check y."
            )
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            weight = by_class if weight is None else by_class * weight
        return series, truth, weight


def check_given(estimator: Any, y: Any) -> None:
    """DataError without targets, in the words that scikit-learn looks for."""
    if y is None:
        name = type(estimator).__name__
        raise DataError(f"{name} requires y to be passed, but the target y is None.", "Call fit(X, y).")


def threads_of(n_jobs: int | None) -> AbstractContextManager[Any]:
    """While it lasts, the NUMBA engine runs on ``n_jobs`` threads; None: on all that it has, −1: on all
    cores.
    """
    if n_jobs is None:
        return nullcontext()
    return at_most(n_jobs if n_jobs > 0 else max(1, usable_cores() + 1 + n_jobs))
