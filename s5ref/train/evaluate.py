"""Loss, and accuracy or mean squared error, of a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypedDict, Unpack

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.data.batches import Split
from s5ref.engine import Engine, Settings, as_engine
from s5ref.model.batch import Batch
from s5ref.model.chunks import chunked_forward
from s5ref.model.heads import Head
from s5ref.model.model import Model
from s5ref.model.packing import packed
from s5ref.model.parts import part_of
from s5ref.ranks import ALONE, GRID, Grid


class Evaluation(NamedTuple):
    """What training minimises, over ``examples``, and how good the answers are.

    loss      mean cross-entropy; of a regression the mean squared error, with variances the negative
              logarithm of the normal likelihood
    accuracy  the fraction right; None of a regression
    mse       of a regression the mean squared error of its answers, with variances of the means; else None

    With masked padding the valid steps of a regression count alone.
    """

    loss: float
    accuracy: float | None
    examples: int
    mse: float | None = None


class EvaluateOptions(TypedDict, total=False):
    """Further keywords of `evaluate`.

    step_rescale  multiplies Δ: 2 for half the sampling rate; default 1
    chunk         steps that are in memory at a time; default 0: whole sequences
    pack          sequences of unequal lengths are laid end to end in rows; default False
    on_batch      a function that is given the fraction done
    grid          the processes that share the split: each evaluates its part, and all return the whole
    """

    step_rescale: float
    chunk: int
    pack: bool
    on_batch: Callable[[float], None] | None
    grid: Grid


def evaluate(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    split: Split,
    engine: Engine | str | None = None,
    batch_size: int = 100,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Loss, and accuracy or MSE, on a split, with the running statistics.

    Every example counts once and equally; of a regression with masked padding, every valid step.

    Parameters
    ----------
    model, params, statistics
        As in `Model.forward`.
    split : Split
    engine : Engine, name or None
        None: the default one.
    batch_size : int
        Examples at a time; the last batch may be smaller.
    **options
        step_rescale, chunk, pack, on_batch, grid: `EvaluateOptions`.

    Returns
    -------
    Evaluation

    Raises
    ------
    S5Error
        As `Model.forward`.
    """
    dtype, n = params["encoder.kernel"].dtype, len(split)
    pack, rescale = options.get("pack", False), options.get("step_rescale", 1.0)
    chunk, grid, on_batch = options.get("chunk", 0), options.get("grid", GRID), options.get("on_batch")
    among = Grid(ALONE, grid.sequence, grid.sequence)  # those with the same examples
    sums = np.zeros(4)  # loss, squared error, examples or steps, right answers

    def parts() -> Iterator[Batch]:
        for start in range(0, n, batch_size):
            rows = np.arange(start, min(start + batch_size, n))[grid.data.mine(min(batch_size, n - start))]
            if len(rows):
                batch = split.batch(rows, dtype)
                yield part_of(model, packed(batch) if pack else batch, among)
            if on_batch is not None:
                on_batch(min(1.0, (start + batch_size) / n))

    for batch, output in outputs(model, params, statistics, parts(), engine, rescale, chunk, among):
        valid = model.valid_steps(batch, among)
        counted = len(output) if valid is None else int(valid.sum())
        if counted:
            scored = score(model.head, output, batch.targets, valid)
            sums += scored.loss * counted, scored.mse * counted, counted, scored.right
    loss, errors, weight, right = (grid.everyone if model.head.stepwise else grid.data).total(sums).tolist()
    if model.head.classifies:
        return Evaluation(loss / weight, right / n, n)
    return Evaluation(loss / weight, None, n, errors / weight)


def outputs(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    batches: Iterable[Batch],
    engine: Engine | str | None = None,
    step_rescale: float = 1.0,
    chunk: int = 0,
    grid: Grid = GRID,
) -> Iterator[tuple[Batch, Array]]:
    """Each batch with the output of the model for it, an array of the host; ``chunk`` as of `evaluate`,
    ``grid`` as of `Model.forward`.
    """
    engine = as_engine(engine)
    params, statistics = engine.to_device((params, statistics))
    for batch in batches:
        there = engine.to_device(batch)
        given, call = (params, statistics, there), Settings(engine=engine, step_rescale=step_rescale)
        call["grid"] = grid
        forward = chunked_forward(model, *given, chunk, **call) if chunk else model.forward(*given, **call)
        yield batch, engine.to_host(forward.output)


class Score(NamedTuple):
    """Of one batch: the mean loss, the number of right answers, and of a regression the mean squared
    error.
    """

    loss: float
    right: int
    mse: float = 0.0


def score(head: Head, output: Array, targets: Array | None, valid: Array | None = None) -> Score:
    """How good an output is, in float64. ``valid``, (N, L, 1), says which steps of a regression count; None:
    all.
    """
    assert targets is not None
    y = output.astype(np.float64)
    if head.classifies:
        picked = np.take_along_axis(y, targets[:, None], axis=1)
        return Score(float(-np.mean(picked)), int(np.sum(np.argmax(y, axis=1) == targets)))
    answers = head.point(y)
    error = answers - targets.reshape(answers.shape)
    mse = float(np.mean((error if valid is None else error[valid[..., 0]]) ** 2))
    if answers is y:
        return Score(mse, 0, mse)
    return Score(float(head.loss.value(y, targets.astype(np.float64), valid)[0]), 0, mse)
