"""A user's own arrays as a Dataset: what can be wrong with them is refused here, by split and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array, check_finite, check_kind, check_shape
from s5ref.data.batches import Dataset, Scale, Split, to_tokens
from s5ref.data.tasks import Head, Task
from s5ref.errors import DataError, ShapeError
from s5ref.model.checks import check_intervals, check_lengths, check_targets
from s5ref.model.heads import HEADS

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
        targets: (n,) integers in 0 … K−1; regression (n, L, K) reals, pooled_regression (n, K); (n, L) and
        (n,) are one value.
        lengths: (n,), retrieval (n, 2), in 1 … L.
        intervals: (n, L), retrieval (n, 2, L), reals ≥ 0 in units of the regular sampling interval.
    n_classes, in_dim : int or None
        None: the smallest that hold train's targets, and all tokens.
    head : {"classifier", "retrieval", "regression", "pooled_regression"}
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
        split: {name: _numbers(split, name, value) for name, value in fields.items()}
        for split, fields in _by_split(arrays).items()
    }
    K = n_classes or _classes(given["train"]["targets"], head)
    splits = {split: _split(split, fields, head, K) for split, fields in given.items()}
    first = splits["train"]
    tokens = first.prepare is to_tokens
    for split, examples in splits.items():
        want, got = first.inputs.shape[1:], examples.inputs.shape[1:]
        if want != got or examples.prepare != first.prepare:
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
        measured_by="accuracy" if HEADS[head].classifies else "mse",
    )  # fmt: skip
    return Dataset(task, first, splits["validation"], splits.get("test"), source="user arrays")


def _by_split(arrays: Mapping[str, Any] | Sequence[Any]) -> dict[str, dict[str, Any]]:
    remedy = "Give {'train': (inputs, targets), 'validation': (inputs, targets)}, and 'test' if there is one."
    splits = _named("arrays", arrays, _SPLITS, remedy)
    remedy = f"Give (inputs, targets), (inputs, targets, lengths) or a mapping of {', '.join(_FIELDS)}."
    return {split: _named(split, fields, _FIELDS, remedy) for split, fields in splits.items()}


def _named(where: str, value: Any, names: tuple[str, ...], remedy: str) -> dict[str, Any]:
    """A mapping of ``names``, or a sequence in their order, as a mapping; the first two must be there."""
    if isinstance(value, Sequence) and not isinstance(value, str) and 2 <= len(value) <= len(names):
        value = dict(zip(names, value, strict=False))
    if not isinstance(value, Mapping):
        raise DataError(
            f"{where} must be a mapping or a sequence of 2 to {len(names)}; got {type(value).__name__}.",
            remedy,
        )
    given = {name: item for name, item in value.items() if item is not None}
    unknown = [str(name) for name in value if name not in names]
    missing = [name for name in names[:2] if name not in given]
    if unknown or missing:
        wrong = f"unknown {', '.join(unknown)}" if unknown else f"{' and '.join(missing)} is missing"
        raise DataError(f"{where} must hold {' and '.join(names[:2])}; {wrong}.", remedy)
    return {name: given[name] for name in names if name in given}


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
    return Split(inputs, targets, to_tokens if tokens else Scale(), lengths, intervals)


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
    if HEADS[head].classifies:
        return 1 + int(targets.max())
    return int(targets.shape[-1]) if targets.ndim == len(HEADS[head].targets.split()) else 1
