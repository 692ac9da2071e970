"""Several processes are one: loss, output, states, statistics and gradients of a model whose batch they
share, examples, steps or both, against the same model in one process. Derivation: docs/derivations/ranks.md.

Every rank computes the whole by itself and judges its own results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.errors import ConfigError
from s5ref.model.parts import part_of
from s5ref.ranks import GRID, Grid, Ranks
from s5ref.tree import leaves
from s5ref.verification.report import Row, Worst
from s5ref.verification.rounding.budget import ratio
from s5ref.verification.selfcheck.engines import whole_budget
from s5ref.verification.selfcheck.problems import Problem, packing_problems, problems

DTYPES = ("float32", "float64")


def across(
    ranks: Ranks, engines: Sequence[Engine], dtypes: Sequence[str] = DTYPES, groups: Sequence[str] = ()
) -> Iterator[Row]:
    """A row for every way to share, problem, engine and dtype; the same rows on every rank."""
    ways = [n for n in range(1, ranks.size + 1) if ranks.size % n == 0]
    grids = [Grid.of(ranks, n) for n in ways]
    chosen = list(problems(*groups, n=5, length=11))
    if not groups:
        chosen += [rows for _, rows in packing_problems()]
    for at, dtype in product(chosen, dtypes):
        here, want = at.cast(dtype), None
        for grid in grids:
            batch = _part(here, grid)
            if batch is None:
                continue
            want = want or whole_budget(here, partial(_outcome, here, here.batch, GRID))
            for engine in engines:
                worst = _judged(here, grid, dict(leaves(_outcome(here, batch, grid, engine))), *want)
                value, where = max(ranks.share((worst.value, worst.where)), key=lambda found: found[0])
                worst = Worst.of([(value, where)])
                name = f"{grid.data.size} × {grid.sequence.size}: {at.group}: {at.name}"
                yield worst.row("ranks", name, engine.name, dtype, 1.0)


def _part(at: Problem, grid: Grid) -> Any:
    """The part of the batch that this rank has; None where it cannot be shared like this."""
    if at.batch.segments is not None and not at.model.head.stepwise:
        return None
    try:
        return part_of(at.model, at.batch, grid)
    except ConfigError:
        return None


def _outcome(at: Problem, batch: Any, grid: Grid, engine: Engine) -> dict[str, Any]:
    """Everything that a pass gives, with the final states as their own cotangents."""
    states = at.states and [state[_rows(at, grid)] for state in at.states]
    result = at.model.loss_and_grad(
        at.params, at.statistics, batch, states, engine=engine, initial_state=states, grid=grid, **at.call
    )
    return dict(result._asdict())


def _judged(
    at: Problem, grid: Grid, got: dict[str, Any], want: dict[str, Array], budget: dict[str, Any]
) -> Worst:
    worst = Worst()
    for path, whole in want.items():
        mine = _mine(at, grid, path, whole)
        agree = np.asarray(got[path]).dtype == mine.dtype and np.shape(got[path]) == mine.shape
        of_mine = _mine(at, grid, path, np.broadcast_to(budget[path], whole.shape))
        off = ratio(got[path], mine, of_mine, 1.0) if agree else float("inf")
        worst.see(off, f"{path} on rank {grid.everyone.rank}")
    return worst


def _mine(at: Problem, grid: Grid, path: str, whole: Array) -> Array:
    """Of a leaf of the whole what belongs to this rank."""
    if path.startswith(("states.", "dstates.")):
        return whole[_rows(at, grid)]
    if path != "output":
        return whole
    whole = whole if at.batch.segments is not None else whole[grid.data.mine(len(whole))]
    if not at.model.head.stepwise or grid.sequence.size == 1:
        return whole
    window = at.model.config.total_stride
    steps = grid.sequence.mine(-(-at.batch.inputs.shape[1] // window))
    return whole[:, steps.start * window : steps.stop * window]


def _rows(at: Problem, grid: Grid) -> Array:
    """The rows of states that belong to this rank."""
    documents = at.model.head.documents if at.batch.segments is None else 1
    n = len(at.batch.inputs)
    own = np.arange(n)[grid.data.mine(n)]
    return np.concatenate([own + document * n for document in range(documents)])
