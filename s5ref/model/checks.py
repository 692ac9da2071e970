"""What a model refuses, and in which words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from s5ref.arrays import REAL, Array, as_array, check_finite, check_shape
from s5ref.errors import DataError, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.leaves import parameter_shapes, statistics_shapes

REAL_DTYPES = {np.dtype(name) for name in REAL}


def check_params(config: ModelConfig, params: Mapping[str, Array], statistics: Mapping[str, Array]) -> None:
    """Every leaf that the configuration asks for, in its shape, and no other; all of one real dtype."""
    _check_leaves("parameters", params, parameter_shapes(config, joined_C="layers_0.seq.C" in params))
    _check_leaves("statistics", statistics, statistics_shapes(config))
    dtypes = {leaf.dtype for leaf in params.values()} | {leaf.dtype for leaf in statistics.values()}
    if len(dtypes) > 1 or next(iter(dtypes)).newbyteorder("=") not in REAL_DTYPES:
        raise ShapeError(
            f"model: all parameters and statistics must have one real dtype ({', '.join(REAL)}); got "
            f"{', '.join(sorted(dtype.name for dtype in dtypes))}.",
            "Convert every leaf to the same dtype.",
        )


def _check_leaves(what: str, leaves: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in shapes if name not in leaves]
    unknown = [name for name in leaves if name not in shapes]
    if missing or unknown:
        lists = [
            f"{label} {', '.join(names)}"
            for label, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise DataError(
            f"model: {what} must be those of the configuration; {'; '.join(lists)}.",
            "Take them from model.init(seed) or s5ref.load(run).",
        )
    for name, shape in shapes.items():
        if tuple(leaves[name].shape) != shape:
            raise ShapeError(
                f"model: {name} must be {shape} by the configuration; got {tuple(leaves[name].shape)}.",
                "Use the configuration that these parameters were made with.",
            )


def check_batch(config: ModelConfig, params: Mapping[str, Array], batch: Batch) -> Batch:
    """The batch as arrays of the model's dtype (lists work); S5Error naming what does not fit."""
    kernel = params["encoder.kernel"]
    documents = "N 2 L" if config.head == "retrieval" else "N L"
    inputs = as_array(batch.inputs)
    if inputs.dtype.kind in "iu":
        letters, sizes = documents, {"2": 2}
    else:
        letters, sizes = f"{documents} I", {"2": 2, "I": config.in_dim}
    inputs = check_shape(
        "model",
        "inputs",
        inputs,
        letters,
        sizes,
        f"Integers are tokens ({documents.replace(' ', ', ')}); reals have a channel axis of "
        f"in_dim = {config.in_dim}: inputs[..., None] adds one.",
    )
    if inputs.dtype.kind in "iu":
        _check_range("tokens", inputs, 0, config.in_dim - 1, "in_dim − 1")
    elif inputs.dtype.kind == "f":
        inputs = check_finite("model", "inputs", inputs).astype(kernel.dtype, copy=False)
    else:
        raise ShapeError(
            f"model: inputs must be integer tokens or reals; got dtype {inputs.dtype}.",
            "Convert the inputs first.",
        )
    N, L = inputs.shape[0], inputs.shape[len(documents.split()) - 1]
    lengths = batch.lengths
    if lengths is not None:
        lengths = check_shape("model", "lengths", lengths, documents[:-2], {"N": N, "2": 2})
        _check_range("lengths", lengths, 1, L, "L")
    intervals = batch.intervals
    if intervals is not None:
        intervals = check_shape("model", "intervals", intervals, documents, {"N": N, "2": 2, "L": L})
        intervals = check_finite("model", "intervals", intervals.astype(kernel.dtype, copy=False))
        if isinstance(intervals, np.ndarray) and not (intervals >= 0).all():
            raise DataError(
                f"model: intervals between samples must not be negative; the smallest is {intervals.min()}.",
                "Sort the samples by time, and give padding the interval 1.",
            )
    return Batch(inputs, _checked_targets(config, kernel, batch.targets, N, L), lengths, intervals)


def _checked_targets(
    config: ModelConfig, kernel: Array, targets: Array | None, N: int, L: int
) -> Array | None:
    if targets is None:
        return None
    if config.head == "regression":
        targets = check_shape("model", "targets", targets, "N L K", {"N": N, "L": L, "K": config.n_classes})
        return check_finite("model", "targets", targets.astype(kernel.dtype, copy=False))
    targets = check_shape("model", "targets", targets, "N", {"N": N})
    _check_range("targets", targets, 0, config.n_classes - 1, "n_classes − 1")
    return targets


def _check_range(name: str, x: Array, low: int, high: int, symbol: str) -> None:
    if x.dtype.kind not in "iu":
        raise ShapeError(
            f"model: {name} must be integers; got dtype {x.dtype}.", f"Convert {name} (astype(int))."
        )
    if isinstance(x, np.ndarray) and (x.min() < low or x.max() > high):
        raise DataError(
            f"model: {name} must lie in {low} … {high} ({symbol}); got {x.min()} … {x.max()}.",
            f"Check {name} against the configuration.",
        )
