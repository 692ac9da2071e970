"""Ranks that are threads of this process: what several processes compute, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.ranks import Ranks


class ThreadRanks(Ranks):
    """One of ``size`` threads that meet at a barrier."""

    def __init__(self, rank: int, board: list[Any], barrier: Barrier) -> None:
        self.rank, self.size, self.board, self.barrier = rank, len(board), board, barrier

    def share(self, value: Any) -> list[Any]:
        self.board[self.rank] = value
        self.barrier.wait()
        found = list(self.board)
        self.barrier.wait()
        return found

    def gather(self, x: Array) -> Array:
        parts = self.share(np.asarray(x))
        assert len({(part.shape, part.dtype) for part in parts}) == 1, parts
        return np.stack(parts)

    def names(self) -> list[str]:
        return [f"thread {rank}" for rank in range(self.size)]

    def failed(self, error: BaseException) -> None:
        self.barrier.abort()

    def abort(self) -> None:
        self.barrier.abort()

    def split(self, group: int) -> Ranks:
        groups = self.share(group)
        mine = [rank for rank, other in enumerate(groups) if other == group]
        first = mine[0]
        made: Any = None
        if self.rank == first:
            made = [None] * len(mine), Barrier(len(mine), timeout=30)
        board, barrier = self.share(made)[first]
        return ThreadRanks(mine.index(self.rank), board, barrier)


def on_ranks(size: int, fn: Callable[[Ranks], Any]) -> list[Any]:
    """fn of each of so many ranks, at the same time; an error of one ends all."""
    board, barrier = [None] * size, Barrier(size, timeout=60)

    def run(rank: int) -> Any:
        try:
            return fn(ThreadRanks(rank, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(run, rank) for rank in range(size)]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None and type(error).__name__ != "BrokenBarrierError":
            raise error
    return [future.result() for future in futures]
