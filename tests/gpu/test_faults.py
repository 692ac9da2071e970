"""Faults planted in the kernels' text: every one must be caught by the tests that the true kernels pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError

from s5ref.arrays import Array
from s5ref.gpu.engine import engine_of
from s5ref.gpu.source import source
from s5ref.random import generator
from s5ref.verification.rounding.budget import THRESHOLD
from s5ref.verification.selfcheck.fields import Case, cases, field_ratios, judged

pytestmark = MARKS


def _scan(N: int, L: int, P: int) -> list[Case]:
    found = []
    for varying in (False, True):
        n = generator("gpu faults", N, L, P).standard_normal

        def z(*shape: int, n: Callable[..., Array] = n) -> Array:
            return np.asarray(n(shape) + 1j * n(shape))

        shape = (N, L, P) if varying else (P,)
        Lambda_bar = np.exp(-np.abs(n(shape)) * 0.002 + 1j * n(shape))
        args = (Lambda_bar, z(N, L, P), 100 * z(N, P), True)  # what enters shows to the end
        found.append(Case("scan", f"{varying=}", args, (z(N, L, P), 100 * z(N, P))))
    return found


SHORT_ROWS = _scan(1, 250, 13)  # 16 channels, two rows a warp; two tiles, the last not full
LONG_ROWS = _scan(1, 180, 40)  # three tiles; 32 channels, one row a warp: no shuffle keeps the warps together

BARRIER = "    __syncthreads();\n    if (LOOKBACK) state = exclusive_prefix"
EARLIER = (
    "    Map earlier = {VARYING ? shuffle_up(own.a, d * CHANNELS) : one, shuffle_up(own.b, d * CHANNELS)};\n"
)
SCAN: dict[str, tuple[str, str]] = {
    "no barrier before the warps' maps are read": (BARRIER, "    if (LOOKBACK) state = exclusive_prefix"),
    "the carry is lost": ("state = factor * state +", "state ="),
    "a row enters with one row's power too many": (
        "power(a, K * at.row)",
        "power(a, K * (at.row + 1))",
    ),
    "the multiplier is not conjugated": ("conjugate(multipliers[at.channel])", "multipliers[at.channel]"),
    "dx_last is lost": ("if (m == 0 && d.dx_last)", "if (m < 0)"),
    "x0 is lost in the multiplier's cotangent": ("x0 ? x0[nth] : zero", "zero"),
    "the tail is not masked": ("if (at.inside && first + i < at.end) step", "if (at.inside) step"),
    "a write beyond the chunk": ("first + i < at.end) store", "first + i <= at.end) store"),
    "the last step is not written": ("    x[step_index", "    if (k < s.L - 1) x[step_index"),
    "the direction is lost": ("s.reverse ? s.L - 1 - k : k", "k"),
    "no barrier before the exchange is used again": (
        "  __syncthreads();  // other warps may still read the last tile\n",
        "",
    ),
    "no barrier before the warps' sums are read": (
        "= sum;\n  __syncthreads();\n  if (at.warp",
        "= sum;\n  if (at.warp",
    ),
    "a warp's sum is left out": ("for (int w = 1; w < WARPS", "for (int w = 2; w < WARPS"),
    "a shuffle in a branch": (EARLIER + "    if (at.row >= d) {\n", "    if (at.row >= d) {\n" + EARLIER),
    "threads leave before a barrier": (
        "  Complex sum = zero, previous",
        "  if (!at.inside) return;\n  Complex sum = zero, previous",
    ),
}
ROWS: dict[str, tuple[str, str, str]] = {
    "no barrier in the sum across warps": ("batch_norm", "= value;\n  __syncthreads();", "= value;"),
    "a slab beyond the rows": ("batch_norm", "begin + slab_rows < rows ?", "true ?"),
    "scratch memory used again without a barrier": (
        "batch_norm",
        "(alone, scratch[1])",
        "(alone, scratch[0])",
    ),
    "elements beyond the array": ("gelu_tanh", "if (i >= size) return;", ""),
    "σ by cancellation": ("gelu_tanh", "(x >= 0 ? (REAL)1 : small) / (1 + small)", "1 - 1 / (1 + exp(x))"),
    "1 − σ by cancellation": ("glu", "s * sigmoid(-z[i])", "s * (1 - s)"),
}


def caught(at: list[Case], change: Callable[[str], str]) -> bool:
    """Whether an order of the threads shows the fault, by a refused launch or by a broken budget."""
    for order in (0, 1):
        engine = engine_of(ShimDevice(order, change))
        for case in at:
            try:
                if max(field_ratios(engine, judged(case, "float32")).values()) > THRESHOLD:
                    return True
            except LaunchError:
                return True
    return False


def planted(file: str, old: str, new: str) -> Callable[[str], str]:
    assert source(file).count(old) == 1, f"{old!r} is not once in {file}.cu"
    return lambda code: code.replace(old, new)


def test_the_true_kernels_are_not_caught() -> None:
    assert not caught(SHORT_ROWS + LONG_ROWS, lambda code: code)


@pytest.mark.parametrize("fault", SCAN)
def test_a_fault_of_the_scan_is_caught(fault: str) -> None:
    assert caught(SHORT_ROWS + LONG_ROWS, planted("scan", *SCAN[fault]))


def test_tiles_that_share_one_exchange_are_caught() -> None:
    assert caught(LONG_ROWS, planted("scan", "turn ^= 1", "turn ^= 0"))


@pytest.mark.parametrize("fault", ROWS)
def test_a_fault_elsewhere_is_caught(fault: str) -> None:
    field, old, new = ROWS[fault]
    file = "norm" if field == "batch_norm" else "elementwise"
    assert caught(list(cases(field)), planted(file, old, new))
