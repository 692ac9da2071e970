"""How sharp the budgets are: how close correct engines come to them, and the smallest error caught.

``python -P -m s5ref.verification.selfcheck.sharpness`` prints the table of docs/budgets.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.verification.rounding.budget import THRESHOLD, ratio
from s5ref.verification.selfcheck.fields import (
    FIELDS,
    Judged,
    candidates,
    cases,
    field_ratios,
    judged,
    outcome,
)


class Sharpness(NamedTuple):
    """Of one kernel field in one dtype.

    leaves        value and cotangent leaves compared, over all cases and engines
    largest, p99  the largest ratio of a correct engine, and the 99th percentile over the leaves
    caught        the smallest relative error of one element that fails, in eps: at the element of a leaf
                  whose bound is tightest, and at the median element; medians over the leaves
    """

    field: str
    dtype: str
    leaves: int
    largest: float
    p99: float
    caught_best: float
    caught_median: float


def sharpness(field: str, dtype: str, engines: Sequence[Engine]) -> Sharpness | None:
    """Measure one field."""
    ratios: list[float] = []
    best: list[float] = []
    median: list[float] = []
    for case in cases(field):
        reference = judged(case, dtype)
        for engine in candidates(field, dtype, engines):
            ratios += [value for path, value in field_ratios(engine, reference).items() if path[0] in "yd"]
        for tightest, middle in _injected(field, reference):
            best.append(tightest)
            median.append(middle)
    if not ratios:  # gelu_erf in float64 where no engine has its own: judged by its series elsewhere
        return None
    caught = float(np.median(best)), float(np.median(median))
    return Sharpness(field, dtype, len(ratios), max(ratios), float(np.percentile(ratios, 99)), *caught)


def _injected(field: str, reference: Judged) -> Iterator[tuple[float, float]]:
    """For every leaf of value and vjp, the smallest error that is caught at two of its elements."""
    got = outcome(getattr(SEQUENTIAL, field), reference.args, reference.dy)
    for path, bound in reference.bounds.items():
        if path[0] not in "yd" or path not in got:
            continue
        want, leaf = np.asarray(reference.want[path]), np.asarray(got[path])
        size = np.abs(want).astype(np.float64)
        sizable = np.flatnonzero(size > np.sqrt(np.finfo(leaf.dtype).tiny))  # far from underflow
        if not sizable.size:
            continue
        relative = np.broadcast_to(bound, want.shape).astype(np.float64).flat[sizable] / size.flat[sizable]
        order = sizable[np.argsort(relative)]
        at = [int(order[0]), int(order[order.size // 2])]
        tightest, middle = (_smallest_caught(leaf, want, bound, reference.eps, index) for index in at)
        yield tightest, middle


def _smallest_caught(leaf: Array, want: Array, bound: Array, eps: float, index: int) -> float:
    exact, limit = want.flat[index], np.broadcast_to(bound, want.shape).flat[index]
    value = leaf.astype(np.result_type(leaf.dtype, np.float64)).flat[index]
    size = 0.5
    while size < 1e9:
        if ratio(value * (1 + size * eps), exact, limit, eps) > THRESHOLD:
            return size
        size *= 2**0.5
    return float("inf")


def main() -> int:
    from s5ref import NUMBA, NUMPY  # deferred: compiles on first use

    heads = ["field", "dtype", "leaves", "largest ratio", "99 %", "caught, tightest element (eps)"]
    print("| " + " | ".join([*heads, "median element (eps)"]) + " |")
    print("|---" * 7 + "|")
    for field in FIELDS:
        for dtype in ("float32", "float64"):
            s = sharpness(field, dtype, [SEQUENTIAL, NUMPY, NUMBA])
            if s is None:
                continue
            print(
                f"| {s.field} | {s.dtype} | {s.leaves} | {s.largest:.2f} | {s.p99:.2f} "
                f"| {s.caught_best:.1f} | {s.caught_median:.1f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
