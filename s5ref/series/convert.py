"""`as_series`: arrays, lists and frames as a Series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError, ShapeError
from s5ref.series.numbers import reals, seconds
from s5ref.series.series import Names, Series, checked, joined
from s5ref.series.tables import from_frame, is_frame
from s5ref.series.tokens import one_hot
from s5ref.settings import check_word

Channels = Literal["auto", "first", "last"]
_LAST = "Pass channels='last' if it is (n, L, C), as torch has it, or channels='first' if it is (n, C, L)."


def as_series(
    X: Any, *, times: Any = None, channels: Channels = "auto", tokens: bool | Sequence[str] = False
) -> Series:
    """What people have as one value: arrays, lists of arrays, frames, and Series, which stay as they are.

    Parameters
    ----------
    X : array, list or DataFrame
        (n, L) numbers; (n, C, L) as aeon and sktime have them, or (n, L, C) with ``channels="last"``; a list
        of arrays (L,), (C, L) or (L, C) of unequal lengths; a list of Series; a wide frame of pandas or
        polars, see `from_frame`. Integers and booleans are real numbers; NaN is a missing value, see
        `checked`.
    times : array or list, optional
        (L,) for all series, (n, L), or a list of (L_i,): numbers, or datetime64 as seconds since the first.
    channels : {"auto", "first", "last"}
        Which axis of an example has the channels. "auto" is first, and refuses a 3-d array of more channels
        than steps.
    tokens : bool or sequence of str
        True: X holds sequences of symbols (text or integers), which become one-hot channels over all symbols
        that occur. A sequence: over these symbols, such as the ``channels`` of the Series that an estimator
        was fitted to.

    Returns
    -------
    Series

    Raises
    ------
    ShapeError
        On axes or sizes that do not fit.
    DataError
        On content that is no number, not finite, missing throughout a channel; on times that do not increase.
    ConfigError
        On another word for ``channels``.

    Examples
    --------
    >>> as_series([[1.0, 2.0, 4.0], [0.5, 0.5, 1.0]])
    2 series, 1 channel, 3 steps each, regular
    >>> as_series(["ACGT", "CAT"], tokens=True).channels
    ('A', 'C', 'G', 'T')
    """
    check_word("as_series", "channels", channels, ("auto", "first", "last"))
    if isinstance(X, list | tuple) and X and all(isinstance(x, Series) for x in X):
        X = joined(X)
    if is_frame(X) and tokens is False:
        X = from_frame(X, where="X").series
    names: Sequence[str] | None = None
    if isinstance(X, Series):
        if times is None:
            return X
        values, lengths, names = X.values, X.lengths, X.channels
    elif tokens is not False:
        rows = X.to_numpy() if is_frame(X) else X
        values, lengths, names = one_hot(rows, None if tokens is True else tuple(tokens))
    else:
        values, lengths = _numbers(X, channels)
    stamps = None if times is None else _times(times, lengths)
    return checked(values, lengths, stamps, Names(channels=names))


def _array(X: Any) -> Array | None:
    """A rectangular array, or None for what is a list of unequal ones."""
    try:
        x = X if isinstance(X, np.ndarray) else np.asarray(X)
    except ValueError:
        return None
    nested = x.dtype == object and x.ndim == 1 and len(x) and hasattr(x[0], "__len__")
    return None if nested and not isinstance(x[0], str) else x


def _numbers(X: Any, channels: Channels) -> tuple[Array, Array]:
    """((T, C) values, (n,) lengths) of an array or of a list of arrays."""
    x = _array(X)
    if x is None:
        return _ragged(list(X), channels)
    if x.ndim > 0 and x.size == 0:
        raise ShapeError(
            f"X must have at least one series, channel and step; got shape {x.shape}.", "Check X."
        )
    if x.ndim not in (2, 3):
        raise ShapeError(
            f"X must be (n, L), (n, C, L) or a list of arrays; got {type(X).__name__} of shape {x.shape}.",
            "A single series is X[None]." if x.ndim == 1 else "Make an array or a list of arrays of it.",
        )
    if x.ndim == 2:
        return reals(x, "X", ("series", "step")).reshape(-1, 1), np.full(len(x), x.shape[1])
    if channels == "auto" and x.shape[1] > x.shape[2]:
        raise ShapeError(
            f"X must have at most as many channels as steps unless channels= is given; got shape {x.shape}, "
            f"where channels first means {x.shape[1]} channels of {x.shape[2]} steps.",
            _LAST,
        )
    axes = ("series", "step", "channel") if channels == "last" else ("series", "channel", "step")
    x = reals(x, "X", axes)
    x = x if channels == "last" else x.transpose(0, 2, 1)
    return x.reshape(-1, x.shape[2]), np.full(len(x), x.shape[1])


def _ragged(X: list[Any], channels: Channels) -> tuple[Array, Array]:
    parts = []
    for i, item in enumerate(X):
        x = _array(item)
        if x is None or x.ndim not in (1, 2):
            got = "nested lists of unequal lengths" if x is None else f"shape {x.shape}"
            raise ShapeError(
                f"X: series {i} must be (L,) or (C, L); got {got}.",
                "Give one array of numbers for each series.",
            )
        if 0 in x.shape:
            raise DataError(
                f"X: series {i} must have at least one step; got shape {x.shape}.", "Leave it out."
            )
        if x.ndim == 1:
            x = reals(x, f"X: series {i}", ("step",))[:, None]
        else:
            x = reals(x, f"X: series {i}", ("row", "column"))
            x = x if channels == "last" else x.T
        parts.append(x)
    counts = [part.shape[1] for part in parts]
    if len(set(counts)) > 1:
        i = next(k for k, C in enumerate(counts) if counts[0] != C)
        other = len({len(part) for part in parts}) == 1
        raise ShapeError(
            f"X: all series must have the same channels; got {counts[0]} in series 0, {counts[i]} in {i}.",
            f"The other axis is {len(parts[0])} in every series: channels="
            f"'{'first' if channels == 'last' else 'last'}' takes it for the channels."
            if other
            else "Series are (C, L), or (L, C) with channels='last': complete or leave out what differs.",
        )
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _times(times: Any, lengths: Array) -> Array:
    """(T,) times of all series, one behind the other."""
    x = _array(times)
    n, L = len(lengths), int(lengths[0])
    if x is not None and x.ndim == 1 and (lengths == L).all() and len(x) == L:
        return np.tile(seconds(x, "times"), n)
    rows = list(times) if x is None else list(x) if x.ndim == 2 else []
    sizes = [np.size(row) for row in rows]
    if sizes != lengths.tolist():
        wrong = [i for i, (got, want) in enumerate(zip(sizes, lengths, strict=False)) if got != want]
        got = f"series {wrong[0]} has {lengths[wrong[0]]} steps and {sizes[wrong[0]]} times" if wrong else (
            f"got shape {x.shape}" if x is not None else f"got {len(rows)} for {n} series"
        )  # fmt: skip
        raise ShapeError(
            f"times must be (L,) for series of one length, (n, L), or a list of (L_i,); {got}.",
            "Give each step its time.",
        )
    return seconds(np.concatenate([np.asarray(row) for row in rows]), "times")
