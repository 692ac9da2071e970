"""The references of `irregular_scan`: the composition in the next wider precision, and every
function of an interval by itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.engine import Pair
from s5ref.gpu.irregular_scan import PerStepCoefficients, irregular_scan, irregular_scan_vjp
from s5ref.gpu.launch import Launcher
from s5ref.random import generator
from s5ref.ssm.phi import phi1, phi1_prime
from s5ref.ssm.scan import sequential_scan, sequential_scan_vjp
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.rounding.budget import COMPLEX_EXP, cast, composite_budget, ratio, wider

Given = tuple[Any, ...]  # Λ, step, intervals, raw, x0, dx, dx_last


DELTA = Pair(
    lambda step, intervals: (step * intervals[:, :, None], intervals),
    lambda intervals, d: sum_to_channels(intervals[:, :, None] * d),
)
GAINED = Pair(
    lambda gain, raw: (gain * raw, (gain, raw)),
    lambda residuals, d: (np.conj(residuals[1]) * d, np.conj(residuals[0]) * d),
)
SCAN = Pair(sequential_scan, sequential_scan_vjp)


@dataclass(frozen=True)
class Parts:
    """The reference's composition as pairs: `composite_budget` rounds what each of them returns."""

    rule: Pair
    name: str = "parts"
    delta: Pair = DELTA
    gained: Pair = GAINED
    scan: Pair = SCAN
    layer: Any = None  # of every engine, which a perturbed one replaces


def reference(given: Given, reverse: bool, parts: Parts) -> dict[str, Array]:
    Lambda, step, intervals, raw, x0, dx, dx_last = given
    Delta, delta_residuals = parts.delta.value(step, intervals)
    (Lambda_bar, gain), rule_residuals = parts.rule.value(Lambda, Delta)
    Bu, gained_residuals = parts.gained.value(gain, raw)
    (x, last), scan_residuals = parts.scan.value(Lambda_bar, Bu, x0, reverse)
    dLambda_bar, dBu, dx0 = parts.scan.vjp(scan_residuals, (dx, dx_last))
    dgain, draw = parts.gained.vjp(gained_residuals, dBu)
    dLambda, dDelta = parts.rule.vjp(rule_residuals, (dLambda_bar, dgain))
    dstep = parts.delta.vjp(delta_residuals, dDelta)
    return {
        "x": x, "last": last, "dLambda": dLambda, "dstep": dstep, "draw": draw, "dx0": dx0
    }  # fmt: skip


def ours(on: Launcher, rule: str, given: Given, reverse: bool) -> dict[str, Array]:
    Lambda, step, intervals, raw, x0, dx, dx_last = given
    (x, last), residuals = irregular_scan(
        on, PerStepCoefficients(rule, Lambda, step, intervals), raw, x0, reverse
    )
    dLambda, dstep, draw, dx0 = irregular_scan_vjp(on, residuals, (dx, dx_last))
    return {
        "x": x, "last": last, "dLambda": dLambda, "dstep": dstep, "draw": draw, "dx0": dx0
    }  # fmt: skip


def inputs(shape: tuple[int, int, int], dtype: str) -> Given:
    """|ΛΔ| from 10⁻⁵, where a state outlives groups of chunks, to about 50."""
    n, (N, L, P) = generator("gpu hold", *shape).standard_normal, shape

    def z(*size: int) -> Array:
        return np.asarray(n(size) + 1j * n(size))

    Lambda = -0.1 * np.abs(n(P)) + 4j * n(P)
    intervals = generator("gpu hold intervals", *shape).uniform(0.5, 2, (N, L))
    step = np.logspace(-5, 0.8, P)
    given: Given = cast((Lambda, step, intervals, z(*shape), 10 * z(N, P), z(*shape), 10 * z(N, P)), dtype)
    return given


Expected = tuple[Given, dict[str, Array], dict[str, Array]]


@functools.cache
def expected(shape: tuple[int, int, int], rule: str, reverse: bool, dtype: str) -> Expected:
    """The inputs, what the reference makes of them in the next wider precision, and the budgets."""
    given = inputs(shape, dtype)
    return given, *judged(given, rule, reverse, dtype)


def judged(given: Given, rule: str, reverse: bool, dtype: str) -> tuple[dict[str, Array], dict[str, Array]]:
    parts: Any = Parts(DISCRETIZATIONS[rule].pair)
    terms = given[2].size
    _, budget = composite_budget(lambda k: reference(given, reverse, k), parts, range(4), terms)
    return reference(cast(given, wider(dtype)), reverse, parts), budget


def worst(got: dict[str, Array], want: dict[str, Array], budget: dict[str, Array], dtype: str) -> float:
    assert got.keys() == want.keys()
    assert {leaf.real.dtype for leaf in got.values()} == {np.dtype(dtype)}
    found: float = max(ratio(got[name], want[name], budget[name], 1.0) for name in want)
    return found


def one_step(on: Launcher, rule: str, dtype: str) -> dict[str, float]:
    """Every function of z = ΛΔ by itself, over 10⁻¹² ≤ |z| ≤ 50 in the left half-plane, against its a-priori
    bound. A channel is a z, and Δ a power of two: z is exact. The bounds of φ₁ and φ₁′ are those of
    `s5ref.ssm.phi`.
    """
    draw = generator("gpu hold one step").uniform
    size = np.concatenate([10 ** draw(-12, 1.7, 400), draw(0.9, 1.1, 200), draw(1, 50, 200)])
    angle = np.concatenate([draw(0.5, 1.5, 700), np.full(50, 0.5), np.full(50, 1.0)])
    Delta = 2.0 ** np.floor(draw(-8, 8, size.size))
    Lambda, step, one = cast((size * np.exp(1j * np.pi * angle) / Delta, Delta, np.ones((1, 1))), dtype)
    ones = np.ones((1, 1, size.size), Lambda.dtype)
    coefficients, none = PerStepCoefficients(rule, Lambda, step, one), np.zeros_like(ones)
    # nothing came before: x = gain, dΛ = conj(∂gain/∂Λ)
    (gain, _), residuals = irregular_scan(on, coefficients, ones)
    bend, slope, _, _ = irregular_scan_vjp(on, residuals, (ones, None))
    # nothing enters: x = Λ̄, dΛ = conj(∂Λ̄/∂Λ)
    (Lambda_bar, _), residuals = irregular_scan(on, coefficients, none, ones[0])
    through, _, _, dx0 = irregular_scan_vjp(on, residuals, (ones, None))

    wide = cast((Lambda, step), wider(dtype))
    z, w = wide[0] * wide[1], wide[1]
    a = np.abs(z)
    if rule == "zoh":
        e, far = np.exp(z), a > 1
        size_e, phi, prime = np.abs(e), phi1(z), phi1_prime(z)
        m1, m2 = np.where(far, (1 + size_e) / a, 0), np.where(far, (1 + size_e * (1 + a)) / a**2, 0)
        want = {"Λ̄": (e, COMPLEX_EXP * size_e), "gain": (w * phi, 4 * w * (np.abs(phi) + m1))}
        want |= {"∂Λ̄": (w * e, (COMPLEX_EXP + 1) * w * size_e)}
        want |= {"∂gain": (w * w * prime, 4 * w * w * (np.abs(prime) + m2))}
        want |= {"∂gain/∂Δ": (e.real, (COMPLEX_EXP + 1) * size_e)}
    elif rule == "dirac":
        e, nothing = np.exp(z), np.zeros_like(z)
        want = {"Λ̄": (e, COMPLEX_EXP * np.abs(e)), "∂Λ̄": (w * e, (COMPLEX_EXP + 1) * w * np.abs(e))}
        want |= {"gain": (nothing + 1, w), "∂gain": (nothing, w), "∂gain/∂Δ": (nothing.real, w)}
    else:
        s = 1 / (1 - z / 2)
        want = {"Λ̄": ((1 + z / 2) * s, 6 * np.abs(s) * (1 + a / 2)), "gain": (w * s, 4 * w * np.abs(s))}
        want |= {
            "∂Λ̄": (w * s**2, 10 * w * np.abs(s) ** 2),
            "∂gain": (w * w * s**2 / 2, 10 * w * w * np.abs(s) ** 2 / 2),
        }
        want |= {"∂gain/∂Δ": ((s**2).real, 10 * np.abs(s) ** 2)}
    got = {
        "Λ̄": Lambda_bar[0, 0],
        "gain": gain[0, 0],
        "∂Λ̄": np.conj(through),
        "∂gain": np.conj(bend),
        "∂gain/∂Δ": slope,
    }
    np.testing.assert_array_equal(dx0[0], np.conj(Lambda_bar[0, 0]))
    eps = float(np.finfo(dtype).eps)
    return {name: ratio(got[name], value, bound, eps) for name, (value, bound) in want.items()}


def summed(on: Launcher, shape: tuple[int, int, int]) -> float:
    """draw added to that of another direction."""
    given = inputs(shape, "float32")
    _, residuals = irregular_scan(on, PerStepCoefficients("zoh", *given[:3]), given[3], given[4])
    draw, before = irregular_scan_vjp(on, residuals, given[5:])[2], given[5][:, ::-1].copy()
    both = before.copy()
    assert irregular_scan_vjp(on, residuals, given[5:], add_to=both)[2] is both
    found: float = ratio(
        both, draw.astype(complex) + before, np.abs(draw) + np.abs(before), float(np.finfo("f4").eps)
    )
    return found
