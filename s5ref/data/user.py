"""A user's own arrays as a Dataset: what can be wrong with them is refused here, by split and field."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from s5ref.arrays import Array, check_finite, check_kind, check_shape
from s5ref.data.batches import Dataset, Scale, Split, to_tokens
from s5ref.data.tasks import Head, Task
from s5ref.errors import ConfigError, DataError, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.checks import check_lengths, check_targets
from s5ref.model.config import ModelConfig
from s5ref.model.heads import HEADS
from s5ref.ssm.intervals import check_intervals
from s5ref.ssm.resets import of_every_step

SPLITS = ("train", "validation", "test")
FIELDS = ("inputs", "targets", "lengths", "intervals", "resets")


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
        (inputs, targets[, lengths[, intervals[, resets]]]), or a mapping of these names, for "train",
        "validation" and, optionally, "test"; as a sequence in that order.
        inputs: (n, L, in_dim) numbers, or (n, L) integers, which are tokens ≥ 0: integers that are measured
        values need a channel axis. Retrieval: (n, 2, L) tokens.
        targets: (n,) integers in 0 … K−1; regression and gaussian_regression (n, L, K) reals,
        pooled_regression (n, K); (n, L) and (n,) are one value.
        lengths: (n,), retrieval (n, 2), in 1 … L.
        intervals: (n, L), retrieval (n, 2, L), reals ≥ 0 in units of the regular sampling interval.
        resets: (n, L), retrieval (n, 2, L), booleans, True where an episode begins.
    n_classes, in_dim : int or None
        None: the smallest that hold train's targets, and all tokens; of numbers the last axis, with a
        warning where it is longer than the axis of the steps.
    head : {"classifier", "retrieval", "regression", "pooled_regression", "gaussian_regression"}
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
        for split, fields in by_split(arrays).items()
    }
    K = n_classes or _classes(given["train"]["targets"], head)
    splits = {split: _split(split, fields, head, K) for split, fields in given.items()}
    first = splits["train"]
    tokens, swapped = first.prepare is to_tokens, "inputs.transpose(0, 2, 1)"
    for split, examples in splits.items():
        want, got = first.inputs.shape[1:], examples.inputs.shape[1:]
        if want != got or examples.prepare != first.prepare:
            raise ShapeError(
                f"{split}: inputs must be of the kind and shape of train's, {('n', *want)}; "
                f"got {examples.inputs.dtype} {examples.inputs.shape}.",
                "Pad shorter sequences and pass lengths.",
            )
    width, steps = first.inputs.shape[-1], first.inputs.shape[-2]
    if tokens:
        used = 1 + max(int(examples.inputs.max()) for examples in splits.values())
        width = in_dim or used
        if used > width:
            raise DataError(
                f"Integers of shape (n, L) are tokens, which must lie below in_dim={width}; got {used - 1}.",
                "Measured values need a channel axis: inputs[..., None]. Tokens need a larger in_dim.",
            )
    elif in_dim not in (None, width):
        raise ShapeError(
            f"train: inputs must have in_dim={in_dim} channels; got {width}.",
            f"The axes are (n, steps, channels): {swapped}." if steps == in_dim else "Check the last axis.",
        )
    elif in_dim is None and width > steps:
        warnings.warn(
            f"inputs have more channels ({width}) than steps ({steps}). If it is the other way round: "
            f"{swapped}; if it is right, say in_dim={width}.",
            stacklevel=2,
        )
    sizes = [len(splits[split]) if split in splits else 0 for split in SPLITS]
    task = Task(
        name, name, "", "tokens" if tokens else "real", first.inputs.shape[-1 if tokens else 1], width, K,
        (sizes[0], sizes[1], sizes[2]), "They are the caller's own arrays.", head,
        measured_by="accuracy" if HEADS[head].classifies else "mse",
    )  # fmt: skip
    return Dataset(
        task, first, splits["validation"], splits.get("test"), source="user arrays", drop_last=False
    )


def for_model(
    arrays: Mapping[str, Any] | Sequence[Any], config: ModelConfig, training: bool = True
) -> Dataset:
    """`from_arrays` for a model of this configuration.

    Raises
    ------
    S5Error
        As `from_arrays`; and ConfigError where sequences of unequal lengths are to be trained on without
        ``padding="masked"``.
    """
    dataset = from_arrays(
        arrays, n_classes=config.n_classes, in_dim=config.in_dim, head=cast(Head, config.head)
    )
    lengths = [split.lengths for split in dataset.splits().values() if split.lengths is not None]
    if training and config.padding != "masked" and any(x.min() < dataset.task.length for x in lengths):
        raise ConfigError(
            f'Sequences of unequal lengths need padding="masked"; got padding="{config.padding}", with which '
            "the padding behind their ends counts.",
            'Write ModelConfig(…, padding="masked"), or --set model.padding=masked.',
        )
    return dataset


def by_split(arrays: Mapping[str, Any] | Sequence[Any]) -> dict[str, dict[str, Any]]:
    remedy = "Give {'train': (inputs, targets), 'validation': (inputs, targets)}, and 'test' if there is one."
    splits = _named("arrays", arrays, SPLITS, remedy)
    remedy = f"Give (inputs, targets), (inputs, targets, lengths) or a mapping of {', '.join(FIELDS)}."
    return {split: _named(split, fields, FIELDS, remedy) for split, fields in splits.items()}


def _named(where: str, value: Any, names: tuple[str, ...], remedy: str) -> dict[str, Any]:
    """A mapping of ``names``, or a sequence in their order, as a mapping; the first two must be there."""
    if isinstance(value, Batch):
        value = value._asdict()
    if isinstance(value, Sequence) and not isinstance(value, str) and 2 <= len(value) <= len(names):
        value = dict(zip(names, value, strict=False))
    if not isinstance(value, Mapping):
        raise DataError(
            f"{where} must be a mapping or a sequence of 2 to {len(names)}; got {type(value).__name__}.",
            remedy,
        )
    given = {name: item for name, item in value.items() if item is not None}
    unknown = [str(name) for name, item in value.items() if name not in names and item is not None]
    missing = [name for name in names[:2] if name not in given]
    if unknown or missing:
        wrong = f"unknown {', '.join(unknown)}" if unknown else f"{' and '.join(missing)} is missing"
        raise DataError(f"{where} must hold {' and '.join(names[:2])}; {wrong}.", remedy)
    return {name: given[name] for name in names if name in given}


def _split(split: str, fields: dict[str, Array], head: Head, K: int) -> Split:
    inputs, lengths, intervals, resets = (fields.get(n) for n in ("inputs", "lengths", "intervals", "resets"))
    assert inputs is not None
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
    if resets is not None:
        resets = of_every_step(split, resets, documents, sizes)
    return Split(inputs, targets, to_tokens if tokens else Scale(), lengths, intervals, resets)


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
    if name != "resets":  # booleans, which `of_every_step` checks
        check_kind(split, name, array, "iuf", "real numbers or integers")
    return check_finite(split, name, array)


def _classes(targets: Array, head: Head) -> int:
    """The smallest number of classes, or outputs of a regression, that holds the targets."""
    if HEADS[head].classifies:
        return 1 + int(targets.max())
    return int(targets.shape[-1]) if targets.ndim == len(HEADS[head].targets.split()) else 1
