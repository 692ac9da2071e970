"""What a verification found: rows and totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One check. It passed if ``measured`` ≤ ``bound``: a ratio of the budget against 1, or a relative
    error against its limit."""

    group: str
    name: str
    engine: str
    dtype: str
    measured: float
    bound: float
    passed: bool
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All rows of a run. selected = checks chosen, ran = checks that finished; good only if all passed and
    some ran."""

    selected: int
    ran: int
    passed: int
    failed: int
    seconds: float
    rows: list[Row] = field(default_factory=list)


class Worst:
    """The largest of many measurements, and where it was. NaN counts as infinity; nothing measured, too."""

    def __init__(self) -> None:
        self.value, self.where = -1.0, "nothing was measured"

    @classmethod
    def of(cls, found: Iterable[tuple[float, str]]) -> Worst:
        """Of (measurement, where) pairs."""
        worst = cls()
        for value, where in found:
            worst.see(value, where)
        return worst

    def see(self, value: float, where: str) -> None:
        value = value if value == value else float("inf")
        if value > self.value:
            self.value, self.where = value, where

    def row(self, group: str, name: str, engine: str, dtype: str, bound: float) -> Row:
        measured = self.value if self.value >= 0 else float("inf")
        return Row(group, name, engine, dtype, measured, bound, measured <= bound, self.where)
