"""A user's own arrays as a Dataset: what can be wrong with them is refused here, by split and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array, check_finite, check_kind, check_shape
from s5ref.data.batches import Dataset, Scale, Split, Tokens
from s5ref.data.tasks import Head, Task
from s5ref.errors import DataError, ShapeError
from s5ref.model.checks import check_intervals, check_lengths, check_targets

_SPLITS = ("train", "validation", "test")
_FIELDS = ("inputs", "targets", "lengths", "intervals")


def from_arrays(
    arrays: Mapping[str, Any] | Sequence[Any],
    *,
    n_classes: int | None = None,
    in_dim: int | None = None,
    head: Head = "classifier",
    name: str = "arrays",
) -> Dataset:
    """A Dataset of one's own arrays. Lists are accepted for every array.

    Parameters
    ----------
    arrays : mapping or sequence
        (inputs, targets[, lengths[, intervals]]), or a mapping of these names, for "train", "validation" and,
        optionally, "test"; as a sequence in that order.
        inputs: (n, L) integer tokens ≥ 0 or (n, L, in_dim) numbers; retrieval (n, 2, L) tokens.
        targets: (n,) integers in 0 … K−1; regression (n, L, K) reals.
        lengths: (n,), retrieval (n, 2), in 1 … L.
        intervals: (n, L), retrieval (n, 2, L), reals ≥ 0 in units of the regular sampling interval.
    n_classes, in_dim : int or None
        None: the smallest that hold train's targets, and all tokens.
    head : {"classifier", "retrieval", "regression"}
    name : str
        Of the task.

    Returns
    -------
    Dataset

    Raises
    ------
    ShapeError, DataError, NumericalError
        Naming the split, the array, and what is wrong with it.
    """
    given = {
        split: {name: _numbers(split, name, value) for name, value in fields.items() if value is not None}
        for split, fields in _by_split(arrays).items()
    }
    K = n_classes or _classes(given["train"]["targets"], head)
    splits = {split: _split(split, fields, head, K) for split, fields in given.items()}
    first = splits["train"]
    tokens = isinstance(first.prepare, Tokens)
    for split, examples in splits.items():
        want, got = first.inputs.shape[1:], examples.inputs.shape[1:]
        if want != got or type(examples.prepare) is not type(first.prepare):
            raise ShapeError(
                f"{split}: inputs must be of the kind and shape of train's, {('n', *want)}; "
                f"got {examples.inputs.dtype} {examples.inputs.shape}.",
                "Pad shorter sequences and pass lengths.",
            )
    width = first.inputs.shape[-1]
    if tokens:
        width = in_dim or 1 + max(int(examples.inputs.max()) for examples in splits.values())
    elif in_dim not in (None, width):
        raise ShapeError(
            f"train: inputs must have in_dim={in_dim} channels; got {width}.", "Check the last axis."
        )
    sizes = [len(splits[split]) if split in splits else 0 for split in _SPLITS]
    task = Task(
        name, name, "", "tokens" if tokens else "real", first.inputs.shape[-1 if tokens else 1], width, K,
        (sizes[0], sizes[1], sizes[2]), "They are the caller's own arrays.", head, available=True,
        measured_by="mse" if head == "regression" else "accuracy",
    )  # fmt: skip
    return Dataset(task, first, splits["validation"], splits.get("test"), source="user arrays")


def _by_split(arrays: Mapping[str, Any] | Sequence[Any]) -> dict[str, dict[str, Any]]:
    remedy = "Give {'train': (inputs, targets), 'validation': (inputs, targets)}, and 'test' if there is one."
    if isinstance(arrays, Mapping):
        named = dict(arrays)
    elif isinstance(arrays, Sequence) and not isinstance(arrays, str) and len(arrays) in (2, 3):
        named = dict(zip(_SPLITS, arrays, strict=False))
    else:
        raise DataError(
            f"arrays must be a mapping or a sequence of 2 or 3 splits; got {type(arrays).__name__}.", remedy
        )
    if unknown := [str(split) for split in named if split not in _SPLITS]:
        raise DataError(
            f"arrays: splits must be among {', '.join(_SPLITS)}; got {', '.join(unknown)}.", remedy
        )
    if missing := [split for split in _SPLITS[:2] if split not in named]:
        raise DataError(
            f"arrays must hold {' and '.join(_SPLITS[:2])}; {' and '.join(missing)} is missing.", remedy
        )
    return {split: _fields(split, named[split]) for split in _SPLITS if named.get(split) is not None}


def _fields(split: str, value: Any) -> dict[str, Any]:
    remedy = f"Give (inputs, targets), (inputs, targets, lengths) or a mapping of {', '.join(_FIELDS)}."
    if isinstance(value, Mapping):
        fields = dict(value)
    elif isinstance(value, tuple | list) and 2 <= len(value) <= len(_FIELDS):
        fields = dict(zip(_FIELDS, value, strict=False))
    else:
        raise DataError(f"{split}: must be a tuple of 2 to 4 arrays; got {type(value).__name__}.", remedy)
    unknown = [str(key) for key in fields if key not in _FIELDS]
    if unknown or any(fields.get(key) is None for key in _FIELDS[:2]):
        raise DataError(f"{split}: must hold inputs and targets; got {', '.join(map(str, fields))}.", remedy)
    return fields


def _split(split: str, fields: dict[str, Array], head: Head, K: int) -> Split:
    inputs, lengths, intervals = fields["inputs"], fields.get("lengths"), fields.get("intervals")
    documents = "N 2 L" if head == "retrieval" else "N L"
    axes = len(documents.split())
    tokens = inputs.dtype.kind in "iu" and inputs.ndim == axes
    remedy = "Reals need a channel axis: inputs[..., None]." if inputs.ndim == axes else ""
    check_shape(split, "inputs", inputs, documents if tokens else f"{documents} in_dim", {"2": 2}, remedy)
    if tokens and inputs.min() < 0:
        raise DataError(f"{split}: tokens must be at least 0; got {inputs.min()}.", "Renumber them from 0.")
    sizes = {"N": len(inputs), "2": 2, "L": inputs.shape[axes - 1], "K": K}
    targets = check_targets(split, fields["targets"], head, sizes)
    if lengths is not None:
        check_lengths(split, lengths, documents, sizes)
    if intervals is not None:
        real = intervals.dtype if intervals.dtype.kind == "f" else np.dtype(np.float64)
        intervals = check_intervals(split, intervals, documents, sizes, real)
    return Split(inputs, targets, Tokens() if tokens else Scale(), lengths, intervals)


def _numbers(split: str, name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged lists
        raise ShapeError(
            f"{split}: {name} must be rectangular; {error}.", "Pad the rows and pass lengths."
        ) from error
    if array.ndim == 0 or array.size == 0:
        raise ShapeError(
            f"{split}: {name} must hold at least one example; got shape {array.shape}.", "Check the data."
        )
    check_kind(split, name, array, "iuf", "real numbers or integers")
    return check_finite(split, name, array)


def _classes(targets: Array, head: Head) -> int:
    """The smallest number of classes, or outputs of a regression, that holds the targets."""
    return int(targets.shape[-1]) if head == "regression" else 1 + int(targets.max())
