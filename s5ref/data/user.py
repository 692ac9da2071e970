"""A user's own arrays as a Dataset: what can be wrong with them is refused here, by split and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array, check_finite, check_kind, check_shape
from s5ref.data.batches import Dataset, Scale, Split, Tokens
from s5ref.data.tasks import Head, Kind, Task
from s5ref.errors import DataError, ShapeError

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
    """A Dataset from (inputs, targets[, lengths[, intervals]]) of train, validation and, optionally, test.

    ``arrays`` is a mapping by split name or a sequence in that order; lists are accepted for every array.
    inputs (n, L) integer tokens ≥ 0, or (n, L, in_dim) numbers; retrieval (n, 2, L) tokens. targets (n,)
    integers in 0 … K−1; regression (n, L, K) reals. lengths (n,), retrieval (n, 2), in 1 … L. intervals
    (n, L) reals ≥ 0.
    ``n_classes`` and ``in_dim`` default to the smallest that hold the data.
    """
    splits = {split: _split(split, fields, head) for split, fields in _by_split(arrays).items()}
    first = splits["train"]
    kind: Kind = "tokens" if isinstance(first.prepare, Tokens) else "real"
    for split, examples in splits.items():
        want, got = first.inputs.shape[1:], examples.inputs.shape[1:]
        if want != got or type(examples.prepare) is not type(first.prepare):
            raise ShapeError(
                f"{split}: inputs must be of the kind and shape of train's, {('n', *want)}; "
                f"got {examples.inputs.dtype} {examples.inputs.shape}.",
                "Pad shorter sequences and pass lengths.",
            )
    classes = _classes(splits, n_classes, head)
    if kind == "tokens":
        width = in_dim or 1 + max(int(examples.inputs.max()) for examples in splits.values())
    else:
        width = first.inputs.shape[-1]
        if in_dim not in (None, width):
            raise ShapeError(
                f"train: inputs must have in_dim={in_dim} channels; got {width}.", "Check the last axis."
            )
    sizes = tuple(len(splits[split]) if split in splits else 0 for split in _SPLITS)
    task = Task(
        name, name, "", kind, first.inputs.shape[1 if kind == "real" else -1], width, classes,
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


def _split(split: str, fields: dict[str, Any], head: Head) -> Split:
    inputs = _numbers(split, "inputs", fields["inputs"])
    pair = 1 if head == "retrieval" else 0
    tokens = inputs.dtype.kind in "iu" and inputs.ndim == 2 + pair
    letters = ("n 2 L" if pair else "n L") + ("" if tokens else " in_dim")
    remedy = (
        "Reals need a channel axis: inputs[..., None]."
        if inputs.ndim == 2 + pair
        else "Check what produces inputs."
    )
    check_shape(split, "inputs", inputs, letters, {"2": 2}, remedy)
    if tokens and inputs.min() < 0:
        raise DataError(f"{split}: tokens must be at least 0; got {inputs.min()}.", "Renumber them from 0.")
    n, steps = len(inputs), inputs.shape[1 + pair]
    sizes = {"n": n, "L": steps, "2": 2}

    targets = _numbers(split, "targets", fields["targets"])
    if head == "regression":
        check_shape(split, "targets", targets, "n L K", sizes)
        targets = check_kind(split, "targets", targets, "f", "reals")
    else:
        check_shape(split, "targets", targets, "n", sizes)
        check_kind(split, "targets", targets, "iu", "integer classes")

    lengths = fields.get("lengths")
    if lengths is not None:
        lengths = check_shape(
            split, "lengths", _numbers(split, "lengths", lengths), "n 2" if pair else "n", sizes
        )
        check_kind(split, "lengths", lengths, "iu", "integers")
        if lengths.min() < 1 or lengths.max() > steps:
            bad = lengths[(lengths < 1) | (lengths > steps)][0]
            raise DataError(
                f"{split}: lengths must be in 1..L={steps}; got {bad}.", "Count the valid steps of each row."
            )

    intervals = fields.get("intervals")
    if intervals is not None:
        intervals = check_shape(split, "intervals", _numbers(split, "intervals", intervals), "n L", sizes)
        if intervals.min() < 0:
            raise DataError(
                f"{split}: intervals must be ≥ 0; got {intervals.min()}.", "Order the samples in time."
            )
        intervals = intervals if intervals.dtype.kind == "f" else intervals.astype(np.float64)
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


def _classes(splits: Mapping[str, Split], n_classes: int | None, head: Head) -> int:
    if head == "regression":
        widths = {split: examples.targets.shape[-1] for split, examples in splits.items()}
        want = n_classes or widths["train"]
        wrong = [f"{width} ({split})" for split, width in widths.items() if width != want]
        if wrong:
            raise ShapeError(
                f"regression targets must have K={want} outputs; got {', '.join(wrong)}.",
                "Check the last axis.",
            )
        return want
    want = n_classes or 1 + max(int(examples.targets.max()) for examples in splits.values())
    for split, examples in splits.items():
        low, high = int(examples.targets.min()), int(examples.targets.max())
        if low < 0 or high >= want:
            raise DataError(
                f"{split}: targets must be classes in 0..{want - 1}; got {low if low < 0 else high}.",
                "Renumber the classes from 0, or correct n_classes.",
            )
    return want
