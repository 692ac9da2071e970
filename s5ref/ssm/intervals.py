"""The time between samples: from time stamps to intervals, what an SSM refuses, and the view against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array, check_finite, check_shape
from s5ref.errors import ConfigError, DataError


def intervals_from_times(times: Any, unit: float = 1.0, lengths: Array | None = None) -> Array:
    """The interval before each sample, in units of the regular one: what `Batch` and the SSM take.

    Parameters
    ----------
    times : (…, L) real or integer
        Time stamps of the samples, ascending along the last axis; equal ones are events at the same time.
    unit : float
        What one interval of regular sampling is in the unit of ``times``; the same for training and test.
    lengths : (…) integer or None
        Valid steps of each sequence; whatever stands in ``times`` after them is padding.

    Returns
    -------
    (…, L) float64
        (t_k − t_{k−1}) / unit; 1 for the first sample, which has none before it, and for padding.

    Raises
    ------
    S5Error
        On NaN or infinity, times that are not sorted, a unit that is not positive, or lengths that do not
        fit.

    Examples
    --------
    >>> intervals_from_times([[10, 20, 20, 45]], unit=10).tolist()
    [[1.0, 1.0, 0.0, 2.5]]
    """
    times = np.asarray(times, np.float64)
    if not times.ndim or not times.shape[-1]:
        check_shape("intervals_from_times", "times", times, "N L", {})
    if not 0 < unit < np.inf:
        raise ConfigError(
            f"intervals_from_times: unit must be positive and finite; got {unit}.",
            "Pass the time between two regular samples, in the unit of the time stamps.",
        )
    valid = np.ones(times.shape, bool)
    if lengths is not None:
        lengths = check_shape(
            "intervals_from_times", "lengths", lengths, " ".join("NMK"[: times.ndim - 1]),
            dict(zip("NMK", times.shape[:-1], strict=False)),
        )  # fmt: skip
        valid = np.arange(times.shape[-1]) < lengths[..., None]
    check_finite("intervals_from_times", "times", np.where(valid, times, 0.0))
    intervals = np.ones(times.shape)
    intervals[..., 1:] = np.where(valid[..., 1:], np.diff(times) / unit, 1.0)
    if (intervals < 0).any():
        at = np.argwhere(intervals < 0)[0]
        raise DataError(
            f"intervals_from_times: times must ascend; that of sample {at[-1]} lies before the one of sample "
            f"{at[-1] - 1}" + (f", in sequence {', '.join(map(str, at[:-1]))}." if len(at) > 1 else "."),
            "Sort each sequence by time, its inputs with it; pass lengths where the end is padding.",
        )
    return intervals


def check_intervals(
    where: str, intervals: Array, letters: str, sizes: Mapping[str, int], dtype: np.dtype[Any]
) -> Array:
    """Sampling intervals ≥ 0 as ``dtype``, one before each step of inputs with the axes ``letters``.

    Raises
    ------
    ShapeError, DataError, NumericalError
        Otherwise.
    """
    intervals = check_shape(where, "intervals", intervals, letters, sizes)
    intervals = check_finite(where, "intervals", intervals.astype(dtype, copy=False))
    if isinstance(intervals, np.ndarray) and not (intervals >= 0).all():
        raise DataError(
            f"{where}: intervals between samples must not be negative; the smallest is {intervals.min()}.",
            "Sort the samples by time, and give padding the interval 1.",
        )
    return intervals


def intervals_after(intervals: Array, valid: Array | None, resets: Array | None = None) -> Array:
    """The interval after each step, from those before each step: shifted by one, and 1 after the last valid
    one and the last of an episode.
    """
    one, after = np.ones_like(intervals[:, :1]), intervals[:, 1:]
    if valid is not None:
        after = np.where(valid[:, 1:, 0], after, one)
    if resets is not None:
        after = np.where(resets[:, 1:], one, after)
    return np.concatenate([after, one], axis=1)
