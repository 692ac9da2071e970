"""What ``verify --level full`` adds: theorems at full size, the edges, certified enclosures, mutants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec

from s5ref.engine import Engine
from s5ref.errors import S5Error
from s5ref.verification.extremes import extremes
from s5ref.verification.mutants import MUTANTS, run_mutants
from s5ref.verification.report import Row
from s5ref.verification.theorems import STATEMENTS, theorems

DTYPES = ("float32", "float64")
Group = tuple[str, int | None, Callable[[], Iterator[Row]]]  # name, rows promised or None if open, check


def require_flint() -> None:
    """S5Error if the certified enclosures cannot be computed here."""
    if find_spec("flint") is None:
        raise S5Error(
            "verify: level full computes certified enclosures, which need python-flint; it is not installed.",
            'pip install "s5ref[verify]", or use level quick.',
        )


def full(engines: Sequence[Engine]) -> Iterator[Group]:
    """The groups of checks of the full level, cheap ones first."""
    yield "theorems", len(STATEMENTS), partial(theorems, "full")
    yield "extremes", None, partial(extremes, engines)
    yield "mutants", len(MUTANTS), _mutants
    for dtype in DTYPES if find_spec("flint") else ():
        for engine in engines:
            yield "certified", None, partial(_certified, engine, dtype)


def _mutants() -> Iterator[Row]:
    """A known mistake of ports passes if it was caught and named."""
    for row in run_mutants().rows:
        seen = row.killed and row.named
        yield Row("mutants", f"{row.id}: {row.name}", "", "", 0.0 if seen else 1.0, 0.0, seen, row.killed_by)


def _certified(engine: Engine, dtype: str) -> Iterator[Row]:
    from s5ref.verification.oracles.certify import certify  # deferred: needs python-flint

    yield from certify(engine, dtype, "base")
