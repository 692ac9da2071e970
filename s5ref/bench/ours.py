"""The peer ``ours``: s5ref on the NUMBA engine, on as many threads as it likes."""

from __future__ import annotations

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.models import benchmark
from s5ref.cpu import NUMBA


def build(case: Case, what: str) -> Benchmark:
    """``what``: as in `benchmark`."""
    return benchmark(NUMBA, case, what)
