"""What a contender builds: one repetition, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from s5ref.arrays import Array

KEY = (0, 1)  # of the dropout masks where values are compared: the same for all contenders


class Work(NamedTuple):
    """once    one repetition, complete when it returns
    values  what it computes, by name: for comparing two contenders
    calls   a repetition counts as the median of so many calls of ``once``
    """

    once: Callable[[], object]
    values: Callable[[], dict[str, Array]]
    calls: int = 1
