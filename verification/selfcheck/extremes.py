"""To the edges: Δ from 1e-9 to 10, |Λ| from 0 to 1e4, growth, L to 2²⁰, strong decay, denormals.

Each point is compared with the next wider precision, within its a-priori bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.draws import Normal
from s5ref.verification.report import Row, Worst, WorstByEngine
from s5ref.verification.rounding import bounds, discretization_bounds
from s5ref.verification.rounding.budget import COMPLEX_EXP, COMPLEX_STEP, THRESHOLD, UNIT, cast, ratio, wider
from s5ref.verification.selfcheck.fields import outcome

DTYPES = ("float32", "float64")
DELTAS = np.array([1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 3.0, 10.0])
SIZES = np.array([0.0, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.5, 1.0, 2.0, 7.0, 81.0, 325.0, 1303.0, 5215.0, 1e4])
DIRECTIONS = np.exp(1j * np.pi * np.array([0, 0.3, 0.5, 0.51, 0.75, 0.9, 1, 1.25, 1.5, 1.9]))  # growth too
LONGEST = 1 << 20


def extremes(engines: Sequence[Engine], longest: int = LONGEST) -> Iterator[Row]:
    """A row per discretisation, scan family, engine and dtype: the worst ratio to the bound, and where."""
    for dtype, (name, pair) in product(DTYPES, DISCRETIZATIONS.items()):
        yield _discretisation(name, pair, dtype)
    for dtype in DTYPES:
        worst = WorstByEngine(engines)
        for label, args, dy in scan_points(longest):
            for engine, value in scan_ratios(engines, args, dy, dtype).items():
                worst[engine].see(value, label)
        yield from worst.rows("extremes", f"scan, L from 1 to {longest}", dtype, THRESHOLD)


def _discretisation(name: str, pair: Pair, dtype: str) -> Row:
    worst, limits = Worst(), np.finfo(dtype)
    for Lambda, Delta in discretisation_points(dtype):
        d = tuple(Normal("extremes", name, dtype).complex(2, *Lambda.shape))
        with np.errstate(under="ignore"):
            bound = _bounds(name, Lambda, Delta, d)
            got, want = (outcome(pair, *cast(((Lambda, Delta), d), t)) for t in (dtype, wider(dtype)))
        for quantity, path in (("Λ̄", "y.0"), ("gain", "y.1"), ("dΛ", "d.0"), ("dΔ", "d.1")):
            # what underflows has a bound that underflows, too
            limit = np.maximum(bound[path], float(limits.tiny))
            for k in range(Lambda.size):
                r = ratio(got[path][k], want[path][k], limit[k], float(limits.eps))
                worst.see(r, f"{quantity} at Λ = {Lambda[k]:.6g}, Δ = {Delta[k]:g}")
    return worst.row("extremes", name, "", dtype, THRESHOLD)


def discretisation_points(dtype: str) -> Iterator[tuple[Array, Array]]:
    """Λ and Δ exactly representable in ``dtype``, where neither eᶻ nor 1/(1 − z/2) overflows."""
    for Delta in DELTAS:
        Lambda = np.unique(np.outer(SIZES, DIRECTIONS).ravel())
        Lambda = cast(cast(Lambda, dtype), "float64")
        step = np.full(Lambda.shape, np.dtype(dtype).type(Delta)).astype(np.float64)
        z = Lambda * step
        keep = (z.real < 80) & (np.abs(1 - z / 2) > 1e-3)
        yield Lambda[keep], step[keep]


def _bounds(name: str, Lambda: Array, Delta: Array, d: tuple[Array, Array]) -> dict[str, Array]:
    """The bounds of the value, and of the vjp as sums of products whose factors carry their own errors."""
    z, (da, dg) = Lambda * Delta, (np.abs(part) for part in d)
    value = getattr(discretization_bounds, name)(Lambda, Delta)
    if name == "bilinear":
        inverse = np.abs(1 / (1 - z / 2))
        e = inverse**2
        slope = 2 * (inverse * (UNIT * np.abs(z / 2) + UNIT * np.abs(1 - z / 2)) + 5) + 4 * COMPLEX_STEP
        dLambda = Delta * e * (da + Delta / 2 * dg) * (slope + 2 * COMPLEX_STEP)
    else:
        e = np.abs(np.exp(z))
        slope = COMPLEX_EXP + UNIT * np.abs(z) + 3 * COMPLEX_STEP
        dLambda = Delta * e * da * slope
    if name == "zoh":
        grown = np.maximum(1, e)
        second = discretization_bounds.phi1_prime(z) + UNIT * np.abs(z) * grown / 3  # |φ₁″| ≤ max(1, |eᶻ|)/3
        first = np.minimum(grown / 2, grown)  # |φ₁′| ≤ max(1, |eᶻ|)/2
        dLambda = Delta * (e * da * slope + Delta * (second + 4 * COMPLEX_STEP * first) * dg)
    dDelta = e * (np.abs(Lambda) * da + (0 if name == "dirac" else dg)) * slope
    return {"y.0": value["0"], "y.1": value["1"], "d.0": dLambda, "d.1": dDelta}


def scan_points(longest: int) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """Decay to underflow, denormal input, the integrator, growth, every length; forward and reverse."""
    multipliers = {
        "decay to underflow": 1e-30 * np.exp(1j * np.arange(3)),
        "Λ̄ = 0": np.zeros(3, complex),
        "integrator": np.array([1, -1, 1j], complex),
        "barely decaying": np.exp((-1e-9 + 1j) * np.array([1, 2, 3])),
        "growth": np.exp((1e-3 + 1j) * np.array([1.0, 2.0, 3.0])),
    }
    for L, (label, a) in product(sorted({1, 2, 3, 255, 256, 257, 511, 2048, longest}), multipliers.items()):
        if label == "growth" and L > 2048:
            a = np.exp((10.0 / L + 1j) * np.array([1.0, 2.0, 3.0]))
        if longest == L and label not in ("barely decaying", "growth"):
            continue
        for reverse in (False,) if longest == L else (False, True):
            yield f"{label}, L = {L}{', reverse' if reverse else ''}", *_scan_point(a, L, 1.0, reverse)
    yield "denormal input", *_scan_point(multipliers["barely decaying"], 300, 1e-41, False)


def _scan_point(a: Array, L: int, size: float, reverse: bool) -> tuple[tuple[Any, ...], Any]:
    n = Normal("extremes", "scan", L)
    args = a, size * n.complex(1, L, 3), size * n.complex(1, 3), reverse
    return args, (n.complex(1, L, 3), n.complex(1, 3))


def scan_ratios(engines: Sequence[Engine], args: tuple[Any, ...], dy: Any, dtype: str) -> dict[str, float]:
    """Engine → worst ratio over every leaf of the scan's value and vjp at one point."""
    args, dy = cast(cast((args, dy), dtype), "float64")
    eps, ratios = float(np.finfo(dtype).eps), {}
    with np.errstate(under="ignore"):
        bound = bounds.scan(*args, dy)
        want = outcome(SEQUENTIAL.scan, *cast((args, dy), wider(dtype)))
        for engine in engines:
            got = outcome(engine.scan, *cast((args, dy), dtype))
            ratios[engine.name] = max(ratio(got[path], want[path], bound[path], eps) for path in bound)
    return ratios
