"""What is asked of the function that generates or downloads the data of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s5ref.settings import check


@dataclass(frozen=True)
class Making:
    """The arguments of `s5ref.data.make`.

    seed     of a generator
    sizes    of a generator: numbers of (train, validation, test) examples; None: the official ones
    workers  of a generator: threads; None: one for each core
    report   is given lines of progress
    """

    seed: int = 0
    sizes: tuple[int, int, int] | None = None
    workers: int | None = None
    report: Callable[[str], None] | None = None


def check_sizes(task: str, sizes: tuple[int, int, int]) -> None:
    """Refuse an empty split of what is generated.

    Raises
    ------
    ConfigError
        If there is one.
    """
    check(f"{task}: sizes", sizes, "at least 1 example a split", min(sizes) >= 1, "Give larger sizes.")
