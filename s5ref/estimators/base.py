"""What all estimators of series share: what they take, and how they are stored."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from s5ref.errors import ShapeError
from s5ref.estimators import store
from s5ref.series.convert import as_series
from s5ref.series.series import Series


class SeriesEstimator(BaseEstimator):
    """An estimator whose X is anything that `s5ref.series.as_series` takes."""

    channels: Any

    def _series(self, X: Any, times: Any = None, *, reset: bool = False) -> Series:
        """X as a Series; its number of channels is learned with ``reset`` and checked without."""
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
            if hasattr(X, "shape") and len(X.shape) == 2:
                self.n_features_in_ = int(X.shape[1])
        elif self.n_channels_in_ != C:
            raise ShapeError(
                f"X must have the {self.n_channels_in_} channels that {type(self).__name__} was fitted to; "
                f"got {C}.",
                "Check the order of the axes: (n, channels, steps), or channels='last'.",
            )
        return series

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


def threads_of(n_jobs: int | None) -> AbstractContextManager[Any]:
    """While it lasts, the NUMBA engine runs on ``n_jobs`` threads; None: on all that it has, −1: on all
    cores.
    """
    from s5ref.cpu.parallel import at_most
    from s5ref.machine import usable_cores

    if n_jobs is None:
        return nullcontext()
    return at_most(n_jobs if n_jobs > 0 else max(1, usable_cores() + 1 + n_jobs))
