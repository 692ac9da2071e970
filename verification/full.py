"""What ``verify --level full`` adds to the quick ladder: theorems at full size, the edges, certified enclosures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

from s5ref.call import Kernels
from s5ref.errors import S5Error
from s5ref.verification.extremes import extremes
from s5ref.verification.report import Row
from s5ref.verification.theorems import STATEMENTS, theorems

DTYPES = ("float32", "float64")
Group = tuple[str, int | None, Callable[[], Iterator[Row]]]  # name, rows promised (None: as many as come), check


def require_flint() -> None:
    """S5Error if the certified enclosures cannot be computed here."""
    if find_spec("flint") is None:
        raise S5Error(
            "verify: level full computes certified enclosures, which need python-flint; it is not installed.",
            'pip install "s5ref[verify]", or use level quick.',
        )


def full(engines: Sequence[Kernels]) -> Iterator[Group]:
    """The groups of checks of the full level, cheap ones first."""
    yield "theorems", len(STATEMENTS), lambda: theorems("full")
    yield "extremes", None, lambda: extremes(engines)
    for dtype in DTYPES:
        for kernels in engines:
            yield "certified", None, lambda k=kernels, d=dtype: _certified(k, d)  # type: ignore[misc]


def _certified(kernels: Kernels, dtype: str) -> Iterator[Row]:
    from s5ref.verification.oracles.certify import certify  # deferred: needs python-flint

    yield from certify(kernels, dtype, "base")
