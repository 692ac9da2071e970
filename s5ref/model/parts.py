"""Which part of a batch a process has, where several share it."""

from __future__ import annotations

from typing import Any

from s5ref.arrays import Array
from s5ref.errors import ConfigError
from s5ref.model.batch import Batch
from s5ref.model.model import Model
from s5ref.ranks import Grid


def part_of(model: Model, batch: Batch, grid: Grid) -> Batch:
    """The part of a batch that this process has: some examples, and some steps of them.

    Parameters
    ----------
    model : Model
    batch : Batch
        The whole one, in padded rows or packed.
    grid : Grid

    Returns
    -------
    Batch
        What `Model.loss_and_grad` takes with ``grid=grid``. Lengths stay those of whole sequences.

    Raises
    ------
    ConfigError
        If there are fewer examples or windows of steps than processes to share them.
    """
    examples = slice(0, None)
    if batch.segments is None:
        examples = _mine("examples", len(batch.inputs), 1, grid.data)
    elif grid.data.size > 1:
        raise ConfigError(
            "Packed rows are not shared out among processes; got a packed batch.",
            "Let each process pack the sequences that it has.",
        )
    documents = batch.segments is None and model.head.documents == 2
    L = batch.inputs.shape[2 if documents else 1]
    steps = _mine("steps", L, model.config.total_stride, grid.sequence)

    def piece(x: Array | None, of_steps: bool = True) -> Any:
        if x is None:
            return None
        x = x[examples]
        if not of_steps or x.ndim == (2 if documents else 1):
            return x
        return x[:, :, steps] if documents else x[:, steps]

    inputs, targets, lengths, intervals, resets, segments = batch
    if segments is not None and grid.sequence.size > 1:
        resets = segments.resets if resets is None else segments.resets | resets
        segments = segments._replace(ids=segments.ids[:, steps])
    return Batch(
        piece(inputs), piece(targets, model.head.stepwise), piece(lengths, False), piece(intervals),
        piece(resets), segments,
    )  # fmt: skip


def _mine(what: str, n: int, unit: int, ranks: Any) -> slice:
    """The part of n ``what`` that this rank has, in whole units."""
    units = -(-n // unit)
    if units < ranks.size:
        raise ConfigError(
            f"Every rank must have {what}; got {n} of them in units of {unit} for {ranks.size} ranks.",
            "Use fewer ranks.",
        )
    part = ranks.mine(units)
    return slice(part.start * unit, min(part.stop * unit, n))
