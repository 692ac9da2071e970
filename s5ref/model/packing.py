"""Sequences of unequal lengths laid end to end in rows, so that a batch costs the steps that it holds.

A packed batch gives what its sequences give one by one: at the first step of each the state begins anew, the
norms see valid steps only, and pooling, head, loss and dropout are per sequence. Derivation:
docs/derivations/packing.md.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array, as_array
from s5ref.errors import DataError, ShapeError
from s5ref.model.batch import Batch
from s5ref.segments import Segments


def pack(
    series: Sequence[Any],
    targets: Any = None,
    *,
    intervals: Sequence[Any] | None = None,
    length: int | None = None,
) -> Batch:
    """A packed batch of sequences.

    Parameters
    ----------
    series : S arrays
        (L_s, in_dim) reals or (L_s,) tokens, of any lengths.
    targets : (S,) classes, (S, K) reals, or S arrays (L_s, K) of a regression at every step; or None
    intervals : S arrays (L_s,), or None
        Sampling interval before each step, in units of the regular one.
    length : int or None
        Steps of a row; None: those of the longest sequence.

    Returns
    -------
    Batch
        inputs (N, length, in_dim) or (N, length), and ``segments``, whose ids number the sequences as given.
        A model answers one row a sequence, in that order; what it says of every step is (N, length, K): see
        `unpack`.

    Raises
    ------
    S5Error
        Where there is no sequence, one is empty or longer than ``length``, or their arrays do not fit
        together.

    Notes
    -----
    Best-fit decreasing: the longest sequence first, each into the fullest row that has room for it. Dynamic
    programming would fill the rows a little better and costs more than it saves.

    Examples
    --------
    >>> import numpy as np, s5ref
    >>> batch = s5ref.pack([np.ones((n, 2)) for n in (5, 2, 3)], targets=[0, 1, 0])
    >>> batch.inputs.shape, batch.segments.ids.tolist()
    ((2, 5, 2), [[0, 0, 0, 0, 0], [2, 2, 2, 1, 1]])
    """
    arrays = [as_array(x) for x in series]
    shapes = {(x.ndim, x.shape[1:]) for x in arrays}
    if len(shapes) != 1 or not next(iter(shapes))[0]:
        raise ShapeError(
            "pack: series must be at least one array (L_s, in_dim), or (L_s,) of tokens, all with the same "
            f"in_dim; got the shapes {', '.join(str(x.shape) for x in arrays[:5]) or 'of no array'}.",
            "Give a list with one array for each sequence.",
        )
    lengths = np.array([len(x) for x in arrays])
    segments = _laid_out(lengths, int(length or lengths.max()))
    if targets is not None:
        per_step = np.ndim(targets[0]) == 2
        targets = _place("targets", targets, segments) if per_step else as_array(targets)
    between = None if intervals is None else _place("intervals", intervals, segments, fill=1)
    return Batch(_place("series", arrays, segments), targets, intervals=between, segments=segments)


def unpack(steps: Array, segments: Segments) -> list[Array]:
    """What a packed batch has at each step, (N, L, …), as one array (L_s, …) a sequence."""
    flat = steps.reshape(-1, *steps.shape[2:])
    return [flat[a : a + n] for a, n in zip(segments.first.tolist(), segments.lengths.tolist(), strict=True)]


def packed(batch: Batch) -> Batch:
    """A padded batch with lengths, packed into rows as long as its longest sequence.

    Of two documents an example the S first ones are the sequences 0 … S − 1, the second ones S … 2S − 1. A
    batch without lengths has nothing to gain and is returned as it is.
    """
    if batch.lengths is None or batch.segments is not None:
        return batch
    documents = batch.lengths.ndim == 2
    lengths = batch.lengths.T.reshape(-1)
    segments = _laid_out(lengths, int(lengths.max()))

    def place(x: Array | None, fill: int = 0) -> Any:
        if x is None:
            return None
        rows = np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]) if documents else x
        steps = np.concatenate([row[:n] for row, n in zip(rows, lengths, strict=True)])
        return _placed(steps, segments, fill)

    targets = batch.targets
    if targets is not None and targets.ndim == 3:
        targets = place(targets)
    return Batch(place(batch.inputs), targets, intervals=place(batch.intervals, 1), segments=segments)


def _laid_out(lengths: Array, length: int) -> Segments:
    """Where each sequence goes: best-fit decreasing."""
    if lengths.min() < 1 or lengths.max() > length:
        raise DataError(
            f"pack: every sequence must have 1 … {length} steps; got {lengths.min()} … {lengths.max()}.",
            "Drop empty sequences; give a larger length, or None.",
        )
    room: list[tuple[int, int]] = []  # (steps left, row), sorted
    first, rows = np.empty(len(lengths), np.int64), 0
    for s in np.argsort(-lengths, kind="stable").tolist():
        n = int(lengths[s])
        i = bisect_left(room, (n, -1))
        if i < len(room):
            left, row = room.pop(i)
        else:
            left, row, rows = length, rows, rows + 1
        first[s] = (row + 1) * length - left
        insort(room, (left - n, row))
    ids = np.full(rows * length, -1, np.int64)
    ids[_steps(first, lengths)] = np.repeat(np.arange(len(lengths)), lengths)
    return Segments(ids.reshape(rows, length), first, lengths.astype(np.int64))


def _steps(first: Array, lengths: Array) -> Array:
    """The index of every step in the rows laid end to end, one sequence after the other."""
    before = np.cumsum(lengths) - lengths
    steps: Array = np.arange(int(lengths.sum())) + np.repeat(first - before, lengths)
    return steps


def _place(name: str, values: Sequence[Any], segments: Segments, fill: int = 0) -> Array:
    """One array (L_s, …) a sequence, in the places of the rows (N, L, …)."""
    arrays = [as_array(x) for x in values]
    if [len(x) for x in arrays] != segments.lengths.tolist():
        raise ShapeError(
            f"pack: {name} must hold an array for each sequence, as long as it is; got lengths "
            f"{[len(x) for x in arrays][:5]} for {segments.lengths.tolist()[:5]}.",
            f"Check what produces {name}.",
        )
    return _placed(np.concatenate(arrays), segments, fill)


def _placed(steps: Array, segments: Segments, fill: int) -> Array:
    """The steps of all sequences, one sequence after the other, in the places of the rows (N, L, …)."""
    N, L = segments.ids.shape
    rows = np.full((N * L, *steps.shape[1:]), fill, steps.dtype)
    rows[_steps(segments.first, segments.lengths)] = steps
    return rows.reshape(N, L, *steps.shape[1:])
