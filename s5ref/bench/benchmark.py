"""What a peer builds: one repetition, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from s5ref.arrays import Array

KEY = (0, 1)  # of the dropout masks where values are compared: the same for all peers


class Benchmark(NamedTuple):
    """Something to time.

    once     one repetition, complete when it returns
    values   what it computes, by name: for comparing two peers
    calls    a repetition counts as the median of so many calls of ``once``
    seconds  makes one repetition and says how long it took, by a clock of its own; None: the wall time of
             ``once``
    bytes    the peak of the memory that it computes in; None: of the process
    host     of the last repetition, how long the host issued work before it waited; None: not known
    """

    once: Callable[[], object]
    values: Callable[[], dict[str, Array]] = dict
    calls: int = 1
    seconds: Callable[[], float] | None = None
    bytes: Callable[[], int | None] | None = None
    host: Callable[[], float | None] | None = None
