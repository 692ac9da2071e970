"""What a verification found: rows and totals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from s5ref.engine import Engine

Measured = Iterator[tuple[float, str]]  # (measured, where) pairs


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
    def of(cls, measured: Iterable[tuple[float, str]]) -> Worst:
        """Of (measurement, where) pairs."""
        worst = cls()
        for value, where in measured:
            worst.see(value, where)
        return worst

    def see(self, value: float, where: str) -> None:
        value = value if value == value else float("inf")
        if value > self.value:
            self.value, self.where = value, where

    def row(self, group: str, name: str, engine: str, dtype: str, bound: float) -> Row:
        measured = self.value if self.value >= 0 else float("inf")
        return Row(group, name, engine, dtype, measured, bound, measured <= bound, self.where)


class WorstByEngine(dict[str, Worst]):
    """{engine: the largest of its measurements}."""

    def __init__(self, engines: Iterable[Engine]) -> None:
        super().__init__({engine.name: Worst() for engine in engines})

    def see(self, measured: Mapping[str, Mapping[str, float]], where: str) -> None:
        """{engine: {leaf: measurement}}."""
        for engine, leaves in measured.items():
            for leaf, value in leaves.items():
                self[engine].see(value, f"{leaf} {where}")

    def rows(self, group: str, name: str, dtype: str, bound: float) -> Iterator[Row]:
        for engine, worst in self.items():
            yield worst.row(group, name, engine, dtype, bound)
