"""Processes that train together: the same task for all, and no one waits for one that failed."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from s5ref import __version__
from s5ref.data.batches import Dataset, Split
from s5ref.engine import Engine
from s5ref.errors import ConfigError, RankError
from s5ref.ranks import Ranks
from s5ref.train.config import RunConfig

LOOKED_AT = 8  # examples of a split


@contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Within, an error of one rank is told to all others, which raise `RankError`. Where one does not answer,
    the first of the others says so and ends them all, for else they would wait for it when they end.
    """
    try:
        yield
    except RankError as error:
        if not error.answers and ranks.rank == error.speaker:
            print(f"s5ref: {error}", file=sys.stderr, flush=True)
            ranks.abort()
        raise
    except BaseException as error:
        ranks.failed(error)
        raise


def check_together(
    ranks: Ranks, config: RunConfig, dataset: Dataset, engine: Engine, stop_after: int | None
) -> None:
    """Refuse ranks that were given different tasks.

    Raises
    ------
    ConfigError
        Naming the first rank that differs from rank 0, and in what.
    """
    facts: dict[str, Any] = {
        "version of s5ref": __version__,
        "version of NumPy": np.__version__,
        "engine": engine.name,
        "stop_after": stop_after,
        "configuration": config.to_toml(),
        **{f"{name} data": _digest(split) for name, split in dataset.splits().items()},
    }
    first, *others = ranks.share(facts)
    for rank, other in enumerate(others, start=1):
        for name in first.keys() | other.keys():
            here, there = first.get(name), other.get(name)
            if here != there:
                if name == "configuration":
                    here, there = _first_difference(here, there)
                raise ConfigError(
                    f"All ranks must train the same; rank {rank} differs in its {name}: {there}, "
                    f"and rank 0 has {here}.",
                    "Give every process the same command, files and environment.",
                )


def _digest(split: Split) -> str:
    """Sizes, and a check sum of some examples."""
    rows = np.unique(np.linspace(0, len(split) - 1, LOOKED_AT).astype(np.int64))
    found = 0
    for array in (split.inputs, split.targets, split.lengths, split.intervals, split.resets):
        if array is not None:
            found = zlib.crc32(np.ascontiguousarray(array[rows]).tobytes(), found)
    return f"{len(split)} examples of {tuple(split.inputs.shape[1:])}, check sum {found:08x}"


def _first_difference(here: str, there: str) -> tuple[str, str]:
    """The first line of two texts in which they differ."""
    pairs = zip(here.splitlines(), there.splitlines(), strict=False)
    return next(((a, b) for a, b in pairs if a != b), ("fewer lines", "more lines"))
