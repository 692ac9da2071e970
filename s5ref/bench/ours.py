"""The contender ``ours``: s5ref on the NUMBA engine, on as many threads as it likes."""

from __future__ import annotations

from s5ref.bench.case import Case
from s5ref.bench.models import work
from s5ref.bench.work import Work
from s5ref.cpu import NUMBA


def build(case: Case, what: str) -> Work:
    """``what``: train_step, forward, step; gradient (a train step without the optimiser)."""
    return work(NUMBA, case, what)
