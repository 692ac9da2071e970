"""Processes that compute one model together, called ranks: what they exchange, and which part each has.

A rank passes through the same calls in the same order as all others. Everything that it is given by `gather`
comes in the order of the ranks, so that sums have the same bits on each of them, and from run to run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.errors import ConfigError


class Ranks(ABC):
    """A group of processes, seen from one of them.

    rank  the number of this one, 0 … size − 1
    size  how many there are
    """

    rank: int
    size: int

    @abstractmethod
    def gather(self, x: Array) -> Array:
        """The arrays of all, (size, *shape of x); each rank gives one of the same shape and dtype."""

    @abstractmethod
    def share(self, value: Any) -> list[Any]:
        """The values of all, one a rank; what can be pickled."""

    @abstractmethod
    def split(self, group: int) -> Ranks:
        """Of the ranks that say the same ``group`` the group, in the order that they have here."""

    @abstractmethod
    def names(self) -> list[str]:
        """What a person finds each rank by."""

    @abstractmethod
    def failed(self, error: BaseException) -> None:
        """Tell all others that this rank failed, so that none waits for it."""

    @abstractmethod
    def abort(self) -> None:
        """End all of them, this one and one that does not answer included."""

    def total(self, x: Array) -> Array:
        """The sum over the ranks, in their order; like x."""
        parts = self.gather(x)
        total: Array = parts[0].copy()
        for part in parts[1:]:
            total += part
        return total

    def before(self, x: Array, edge: Array, reverse: bool = False) -> Array:
        """The x of the rank before this one, ``edge`` at the first; reversed of the one behind it."""
        neighbour = self.rank + (1 if reverse else -1)
        parts = self.gather(x)
        return parts[neighbour] if 0 <= neighbour < self.size else edge

    def mine(self, n: int) -> slice:
        """Which of n things this rank has: consecutive ones, about n/size of them."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)


class _Alone(Ranks):
    rank, size = 0, 1

    def gather(self, x: Array) -> Array:
        return x[None]

    def share(self, value: Any) -> list[Any]:
        return [value]

    def split(self, group: int) -> Ranks:
        return self

    def names(self) -> list[str]:
        return ["this process"]

    def failed(self, error: BaseException) -> None:
        pass

    def abort(self) -> None:
        pass

    def total(self, x: Array) -> Array:
        return x


ALONE: Ranks = _Alone()


class Grid(NamedTuple):
    """Ranks that share out a batch: its examples, and the steps of its sequences.

    data      those that have the same steps of other examples
    sequence  those that have other steps of the same examples, in the order of time
    everyone  all of them
    """

    data: Ranks = ALONE
    sequence: Ranks = ALONE
    everyone: Ranks = ALONE

    @classmethod
    def of(cls, ranks: Ranks, sequence: int = 1) -> Grid:
        """All of ``ranks``, ``sequence`` of which share one sequence; neighbours do.

        Raises
        ------
        ConfigError
            If that does not divide their number.
        """
        if sequence < 1 or ranks.size % sequence:
            raise ConfigError(
                f"The ranks that share a sequence must divide all {ranks.size} of them; got {sequence}.",
                f"Use one of {', '.join(str(n) for n in range(1, ranks.size + 1) if ranks.size % n == 0)}.",
            )
        if sequence in (1, ranks.size):
            whole = sequence == ranks.size
            return cls(ALONE if whole else ranks, ranks if whole else ALONE, ranks)
        group, place = divmod(ranks.rank, sequence)
        return cls(ranks.split(place), ranks.split(group), ranks)


GRID = Grid()  # of one process


def ranks_of(training: bool | Ranks) -> Ranks:
    """The ranks whose batch a norm takes its statistics of, where it is told so; else this process alone."""
    return training if isinstance(training, Ranks) else ALONE


def place(ranks: Ranks, n: int) -> tuple[int, int]:
    """(things of the ranks before this one, things of all), of which it has n."""
    if ranks.size == 1:
        return 0, n
    of_all = ranks.gather(np.array(n))
    return int(of_all[: ranks.rank].sum()), int(of_all.sum())


def total_of(ranks: Ranks, leaves: Leaves) -> dict[str, Array]:
    """The sum of every leaf over the ranks, by one exchange of all of them."""
    if ranks.size == 1:
        return dict(leaves)
    flat = ranks.total(np.concatenate([leaf.reshape(-1) for leaf in leaves.values()]))
    ends = np.cumsum([leaf.size for leaf in leaves.values()])
    parts = zip(leaves.items(), [0, *ends.tolist()], ends.tolist(), strict=False)
    return {name: flat[start:end].reshape(leaf.shape) for (name, leaf), start, end in parts}
