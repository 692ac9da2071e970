"""The theorems about S5, S4 and HiPPO, each measured: ``theorems(level)`` gives its rows, ``show(level)``
prints them.

Every row is a statement of docs/derivations (s4, equivalence, convolution, orders) and is named after it.
s5ref's sequential scan in float64 is one side, `s5ref.verification.proofs.independent` the other. Needs no
extra.
"""

from __future__ import annotations

from collections.abc import Iterator

from s5ref.settings import check_known
from s5ref.verification.proofs.theorems import convolution, equivalence, hippo_n, kernels, orders
from s5ref.verification.proofs.theorems.statement import Statement
from s5ref.verification.report import Row

LEVELS = ("quick", "full")
STATEMENTS: tuple[Statement, ...] = (
    *kernels.STATEMENTS, *equivalence.STATEMENTS, *hippo_n.STATEMENTS, *convolution.STATEMENTS,
    *orders.STATEMENTS,
)  # fmt: skip


def theorems(level: str = "quick") -> Iterator[Row]:
    """One row for each case of each statement, the worst of its measurements.

    Parameters
    ----------
    level : {"quick", "full"}
        "full" adds N = 256 to the sum of S4s.
    """
    check_known("level", level, LEVELS, "theorems")
    for statement in STATEMENTS:
        yield statement.row(level)


def show(level: str = "quick") -> list[Row]:
    """Print the table, statement by statement, and return its rows."""
    rows, heading = [], ""
    for row in theorems(level):
        rows.append(row)
        name, _, case = row.name.partition(": ")
        if name != heading:
            print(f"\n{name}")
            heading = name
        print(
            f"  {'✓' if row.passed else '✗'} {row.measured:8.1e} ≤ {row.bound:7.1e}  {case:58s} {row.detail}"
        )
    print(f"\n{sum(row.passed for row in rows)} of {len(rows)} rows hold")
    return rows
