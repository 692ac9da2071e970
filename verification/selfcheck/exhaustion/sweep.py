"""All bit patterns of float32, in pieces, on all cores: the largest error of a function, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.selfcheck.exhaustion.functions import Function

PIECE = 1 << 20
PIECES = (1 << 32) // PIECE
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


class Worst(NamedTuple):
    """The worst of a function over the inputs tried.

    ulps      |got − exact| in units in the last place of the exact value rounded to float32, at ``at_ulps``
    epsilons  |got − exact| in units of 2⁻²³ max(1, |exact|), at ``at_epsilons``: for the zeros of a function
    wrong     inputs where got is NaN or infinite and the exact value is not, or the other way round
    """

    inputs: int
    ulps: float
    at_ulps: float
    epsilons: float
    at_epsilons: float
    wrong: int
    at_wrong: float


def sweep(
    function: Function,
    pieces: Iterable[int] = range(PIECES),
    workers: int = 2,
    report: Callable[[int], None] | None = None,
) -> Worst:
    """The worst over the given pieces of 2²⁰ consecutive bit patterns each (all of them: 2³² inputs)."""
    total = Worst(0, -1.0, 0.0, -1.0, 0.0, 0, 0.0)
    with ThreadPoolExecutor(workers) as pool:
        for number, worst in enumerate(pool.map(lambda p: _piece(function, p), pieces)):
            total = _worse(total, worst)
            if report is not None:
                report(number + 1)
    return total


def _piece(function: Function, piece: int) -> Worst:
    first = piece * PIECE
    x = np.arange(first, first + PIECE, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        got = np.asarray(function.narrow(x)).astype(np.float64)
        exact = np.asarray(function.wide(x.astype(np.float64)))
        rounded = exact.astype(np.float32)
        finite = np.isfinite(got) & np.isfinite(rounded)
        agree = finite | (np.isnan(got) & np.isnan(exact)) | (got == rounded)
        error = np.where(finite, np.abs(got - exact), 0.0)
        ulps = error / np.where(finite, np.maximum(np.spacing(np.abs(rounded)), SMALLEST), 1.0)
        epsilons = error / (2.0**-23 * np.maximum(1.0, np.abs(np.where(finite, exact, 1.0))))
    i, j, wrong = int(np.argmax(ulps)), int(np.argmax(epsilons)), np.flatnonzero(~agree)
    at_wrong = float(x[wrong[0]]) if wrong.size else 0.0
    return Worst(
        PIECE, float(ulps[i]), float(x[i]), float(epsilons[j]), float(x[j]), int(wrong.size), at_wrong
    )


def _worse(a: Worst, b: Worst) -> Worst:
    u, e, w = max(a, b, key=lambda w: w.ulps), max(a, b, key=lambda w: w.epsilons), a if a.wrong else b
    inputs, wrong = a.inputs + b.inputs, a.wrong + b.wrong
    return Worst(inputs, u.ulps, u.at_ulps, e.epsilons, e.at_epsilons, wrong, w.at_wrong)


def sample(every: int) -> Array:
    """Every n-th piece, and those around 0, 1 and the extremes of the exponent: for a quick look."""
    edges = [0, 1, PIECES // 2, PIECES // 2 + 1, (0x3F800000 >> 20), (0x7F000000 >> 20), (0xFF000000 >> 20)]
    return np.unique(np.concatenate([np.arange(0, PIECES, every), edges]))
