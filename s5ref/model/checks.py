"""What a model refuses, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from s5ref.arrays import REAL, Array, Leaves, as_array, check_finite, check_kind, check_shape
from s5ref.errors import DataError, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.heads import HEADS
from s5ref.model.leaves import parameter_shapes, statistics_shapes
from s5ref.ranks import GRID, Grid, place
from s5ref.segments import Segments
from s5ref.ssm.intervals import check_intervals
from s5ref.ssm.resets import of_every_step

REAL_DTYPES = {np.dtype(name) for name in REAL}


def check_params(config: ModelConfig, params: Leaves, statistics: Leaves) -> None:
    """Every leaf that the configuration asks for, in its shape, and no other; all of one real dtype.

    Raises
    ------
    DataError
        Naming the leaves that are missing, and those that are not of the configuration.
    ShapeError
        On a leaf of another shape, or dtypes that are not one and real.
    """
    _check_leaves("parameters", params, parameter_shapes(config, joined_C="layers_0.seq.C" in params))
    _check_leaves("statistics", statistics, statistics_shapes(config))
    dtypes = {leaf.dtype for leaf in params.values()} | {leaf.dtype for leaf in statistics.values()}
    if len(dtypes) > 1 or next(iter(dtypes)).newbyteorder("=") not in REAL_DTYPES:
        raise ShapeError(
            f"model: all parameters and statistics must have one real dtype ({', '.join(REAL)}); got "
            f"{', '.join(sorted(dtype.name for dtype in dtypes))}.",
            "Convert every leaf to the same dtype.",
        )


def _check_leaves(what: str, leaves: Leaves, shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in shapes if name not in leaves]
    unknown = [name for name in leaves if name not in shapes]
    if wrong := {label: names for label, names in (("missing", missing), ("unknown", unknown)) if names}:
        lists = "; ".join(f"{label} {', '.join(names)}" for label, names in wrong.items())
        raise DataError(
            f"model: {what} must be those of the configuration; {lists}.",
            "Take them from model.init(seed) or s5ref.load(run).",
        )
    for name, shape in shapes.items():
        if tuple(leaves[name].shape) != shape:
            raise ShapeError(
                f"model: {name} must be {shape} by the configuration; got {tuple(leaves[name].shape)}.",
                "Use the configuration that these parameters were made with.",
            )


def check_batch(config: ModelConfig, params: Leaves, batch: Batch, grid: Grid = GRID) -> Batch:
    """The batch as arrays of the model's dtype; lists work.

    Parameters
    ----------
    config : ModelConfig
    params : mapping of leaf names to arrays
        Only encoder.kernel is looked at, for the dtype.
    batch : Batch
        inputs (N, L) tokens or (N, L, in_dim) reals, and what else there is.
    grid : Grid
        The processes that share it.

    Raises
    ------
    ShapeError
        On axes, sizes or dtypes that do not fit.
    DataError
        On tokens, targets or lengths out of range, and negative intervals.
    NumericalError
        On NaN or infinity.
    """
    kernel = params["encoder.kernel"]
    segments = batch.segments
    documents = "N 2 L" if config.head == "retrieval" and segments is None else "N L"
    inputs = check_kind("model", "inputs", as_array(batch.inputs), "fiu", "integer tokens or reals")
    tokens = inputs.dtype.kind in "iu"
    remedy = (
        f"Integers are tokens ({documents.replace(' ', ', ')}); reals have a channel axis of "
        f"in_dim = {config.in_dim}: inputs[..., None] adds one."
    )
    letters, sizes = documents if tokens else f"{documents} I", {"2": 2, "I": config.in_dim}
    inputs = check_shape("model", "inputs", inputs, letters, sizes, remedy)
    if tokens:
        check_range("model", "tokens", inputs, 0, config.in_dim - 1, "in_dim − 1")
    else:
        inputs = check_finite("model", "inputs", inputs).astype(kernel.dtype, copy=False)
    of_steps = {"N": inputs.shape[0], "2": 2, "L": inputs.shape[len(documents.split()) - 1]}
    lengths, intervals, resets, targets = batch.lengths, batch.intervals, batch.resets, batch.targets
    head, of_targets = HEADS[config.head], of_steps | {"K": config.n_classes}
    if segments is not None:
        examples = check_segments(segments, lengths, of_steps, head.documents)
        of_targets |= {} if head.stepwise else {"N": examples}
    if lengths is not None:
        _, steps = place(grid.sequence, of_steps["L"])
        lengths = check_lengths("model", lengths, documents, of_steps | {"L": steps})
    if intervals is not None:
        intervals = check_intervals("model", intervals, documents, of_steps, kernel.dtype)
    if resets is not None:
        resets = of_every_step("model", resets, documents, of_steps)
    if targets is not None:
        targets = check_targets("model", targets, config.head, of_targets)
        targets = targets if head.classifies else targets.astype(kernel.dtype, copy=False)
    if config.event_stride > 1:
        check_windows(config, lengths, resets, segments)
        check_pieces(config, of_steps["L"], grid)
    return Batch(inputs, targets, lengths, intervals, resets, segments)


def check_segments(
    segments: Segments, lengths: Array | None, sizes: Mapping[str, int], documents: int
) -> int:
    """The number of examples, of so many ``documents`` each.

    Raises
    ------
    DataError
        If they are no `Segments`, lengths are given too, or an id is no sequence's.
    ShapeError
        If their rows are not those of the inputs, or an example has fewer documents.
    """
    if not isinstance(segments, Segments) or lengths is not None:
        got = "lengths too" if isinstance(segments, Segments) else type(segments).__name__
        raise DataError(
            f"model: a packed batch has Segments, and no lengths; got {got}.",
            "Use s5ref.pack, or Segments.of(ids).",
        )
    check_shape("model", "segments.ids", segments.ids, "N L", sizes)
    S = int(segments.lengths.shape[0])
    check_range("model", "segments.ids", segments.ids, -1, S - 1, "S − 1, and −1 at padding")
    examples, rest = divmod(S, documents)
    if rest:
        raise ShapeError(
            f"model: every example must have {documents} sequences; got {S} in all.",
            "Pack all the first documents, then all the second ones.",
        )
    return examples


def check_windows(
    config: ModelConfig, lengths: Array | None, resets: Array | None, segments: Segments | None
) -> None:
    """Refuse what event pooling would mix.

    Raises
    ------
    DataError
        If rows are packed, padding is not masked, or an episode begins within a window.
    """
    where = f"model: event pooling by {config.event_stride}"
    if segments is not None:
        raise DataError(
            f"{where} needs every sequence in a row of its own; got packed rows.",
            "Pad the sequences and pass lengths.",
        )
    if lengths is not None and config.padding != "masked":
        raise DataError(
            f"{where} needs masked padding where lengths are given; got padding {config.padding!r}.",
            'Use a model with padding = "masked".',
        )
    if isinstance(resets, np.ndarray):
        within = np.flatnonzero(resets.reshape(-1, resets.shape[-1]).any(axis=0)) % config.total_stride
        if within.any():
            raise DataError(
                f"{where} needs episodes that begin at multiples of {config.total_stride} steps, with a "
                f"window of the last layer; got one that begins {within.max()} steps after.",
                "Let each episode have a row of its own.",
            )


def check_pieces(config: ModelConfig, steps: int, grid: Grid) -> None:
    """Refuse processes between whose ``steps`` a window would be cut.

    Raises
    ------
    ShapeError
        If one that others follow has steps that are no multiple of the windows'.
    """
    window, of_all = config.total_stride, grid.sequence.gather(np.array(steps))
    if (of_all[:-1] % window).any():
        raise ShapeError(
            f"model: event pooling needs ranks with multiples of {window} steps, but for the last; got "
            f"{', '.join(map(str, of_all.tolist()))}.",
            f"Give each rank a multiple of {window} steps.",
        )


def check_dstates(dstates: Sequence[Array | None] | None, states: Sequence[Array]) -> Sequence[Array | None]:
    """The cotangents of the final ``states``, None for each where none are given.

    Raises
    ------
    ShapeError
        Where they are not one for each layer, like its state or None.
    """
    if dstates is None:
        return [None] * len(states)
    wanted = [tuple(state.shape) for state in states]
    arrived = [None if d is None else tuple(d.shape) for d in dstates]
    if len(arrived) != len(wanted) or any(a not in (None, w) for a, w in zip(arrived, wanted, strict=True)):
        raise ShapeError(
            f"model: dstates must hold the cotangent of each layer's final state (or None), {wanted}; got "
            f"{arrived}.",
            "Pass result.dstates of the call that goes on from these states.",
        )
    return dstates


def check_lengths(where: str, lengths: Array, letters: str, sizes: Mapping[str, int]) -> Array:
    """Valid steps as integers in 1 … L, one for each sequence of inputs with the axes ``letters``.

    Raises
    ------
    ShapeError, DataError
        Otherwise.
    """
    lengths = check_shape(where, "lengths", lengths, letters.removesuffix(" L"), sizes)
    return check_range(where, "lengths", lengths, 1, sizes["L"], "L")


def check_targets(where: str, targets: Array, head: str, sizes: Mapping[str, int]) -> Array:
    """Classes in 0 … K − 1 (N,), or the finite real targets (N, L, K) or (N, K) of a regression. Where K is 1
    its axis may be missing and is added.

    Raises
    ------
    ShapeError, DataError, NumericalError
        Otherwise.
    """
    letters, targets = HEADS[head].targets, as_array(targets)
    if not HEADS[head].classifies:
        if sizes["K"] == 1 and targets.ndim == len(letters.split()) - 1:
            targets = targets[..., None]
        targets = check_shape(where, "targets", targets, letters, sizes)
        return check_finite(where, "targets", targets * 1.0 if targets.dtype.kind in "iu" else targets)
    targets = check_shape(where, "targets", targets, letters, sizes)
    return check_range(where, "targets", targets, 0, sizes["K"] - 1, "n_classes − 1")


def check_range(where: str, name: str, x: Array, low: int, high: int, symbol: str) -> Array:
    """``x`` if it holds integers in low … high; ``symbol`` says what ``high`` is."""
    check_kind(where, name, x, "iu", "integers")
    if isinstance(x, np.ndarray) and (x.min() < low or x.max() > high):
        raise DataError(
            f"{where}: {name} must lie in {low} … {high} ({symbol}); got {x.min()} … {x.max()}.",
            f"Check {name} against the configuration.",
        )
    return x
