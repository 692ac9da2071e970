"""The sweep over float32 finds a planted error; a sample of all inputs stays within the known ulps."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import NUMBA, NUMPY
from s5ref.arrays import Array
from s5ref.verification.selfcheck.exhaustion.functions import Function, functions
from s5ref.verification.selfcheck.exhaustion.sweep import PIECE, PIECES, sample, sweep

# Worst over all 2³² inputs, from docs/exhaustion.md, rounded up: a sample cannot exceed it.
ULPS = {
    ("exp", "numpy"): 3,
    ("tanh", "numpy"): 2,
    ("σ", "numpy"): 4,
    ("σ", "numba"): 3,
    ("φ₁ (real)", "numpy"): 6,
}


@pytest.mark.parametrize("function", list(functions([NUMPY, NUMBA])), ids=lambda f: f"{f.name}, {f.engine}")
def test_a_sample_is_finite_and_within_the_known_worst(function: Function) -> None:
    worst = sweep(function, [int(p) for p in sample(1024)])
    assert worst.wrong == 0
    assert worst.epsilons < 4
    assert worst.ulps <= ULPS.get((function.name, function.engine), np.inf)


def test_every_bit_pattern_is_visited_once() -> None:
    assert PIECE * PIECES == 1 << 32


def test_one_wrong_input_among_all_of_a_piece_is_found() -> None:
    target = np.float32(1.5)

    def planted(x: Array) -> Array:
        return np.where(x == target, np.nan, np.exp(x))

    piece = int(target.view(np.uint32)) // PIECE
    worst = sweep(Function("exp", "planted", planted, np.exp), [piece])
    assert (worst.wrong, worst.at_wrong) == (1, 1.5)


def test_a_few_ulps_too_much_are_measured() -> None:
    def planted(x: Array) -> Array:
        return np.exp(x) * np.float32(1 + 2.0**-20)

    piece = int(np.float32(1.5).view(np.uint32)) // PIECE
    assert 7 < sweep(Function("exp", "planted", planted, np.exp), [piece]).ulps < 20
