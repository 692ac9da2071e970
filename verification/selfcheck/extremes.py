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
from s5ref.verification.rounding import bounds
from s5ref.verification.rounding.budget import THRESHOLD, cast, ratio, wider
from s5ref.verification.rounding.operation_bounds import LIMITS
from s5ref.verification.selfcheck.fields import outcome
from s5ref.verification.selfcheck.operations import OF_THE_STEP, OPERATIONS

DTYPES = ("float32", "float64")
DELTAS = np.array([1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 3.0, 10.0])
SIZES = np.array([0.0, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.5, 1.0, 2.0, 7.0, 81.0, 325.0, 1303.0, 5215.0, 1e4])
DIRECTIONS = np.exp(1j * np.pi * np.array([0, 0.3, 0.5, 0.51, 0.75, 0.9, 1, 1.25, 1.5, 1.9]))  # growth too
LONGEST = 1 << 20


def extremes(engines: Sequence[Engine], longest: int = LONGEST) -> Iterator[Row]:
    """A row per discretisation, scan family, engine and dtype: the worst ratio to the bound, and where."""
    pairs = {rule: DISCRETIZATIONS[rule].pair for rule in OF_THE_STEP}
    named = {name: OPERATIONS[name].pair for name in ("first_order_hold", "asynchronous")}
    pairs |= {name: pair for name, pair in named.items() if pair is not None}
    for dtype, (name, pair) in product(DTYPES, pairs.items()):
        yield _discretisation(name, pair, dtype)
    for dtype in DTYPES:
        worst = WorstByEngine(engines)
        for label, args, dy in scan_points(longest):
            for engine, value in scan_ratios(engines, args, dy, dtype).items():
                worst[engine].see(value, label)
        yield from worst.rows("extremes", f"scan, L from 1 to {longest}", dtype, THRESHOLD)


def _discretisation(name: str, pair: Pair, dtype: str) -> Row:
    worst, limits = Worst(), np.finfo(dtype)
    field, options = ("discretize", {"method": name}) if name in OF_THE_STEP else (name, {})
    of_leaves = OPERATIONS[field].leaves  # path in `outcome`: name in the bounds
    for Lambda, Delta in discretisation_points(dtype):
        outputs = [leaf for path, leaf in of_leaves.items() if path[0] == "y"]
        d = tuple(Normal("extremes", name, dtype).complex(len(outputs), *Lambda.shape))
        args: tuple[Array, ...] = (Lambda, Delta)
        if name == "asynchronous":
            args = (*args, np.arange(Lambda.size) % 3 / 2)  # events at the same time, and half a step apart
        given: dict[str, Any] = dict(zip(OPERATIONS[field].inputs.split(), args, strict=False)) | options
        with np.errstate(under="ignore"):
            bound = LIMITS[field](**given, d=dict(zip(outputs, d, strict=True)))
            got, want = (outcome(pair, *cast((args, d), t)) for t in (dtype, wider(dtype)))
        for path, leaf in of_leaves.items():
            limit = np.maximum(bound[leaf], float(limits.tiny))  # what underflows has one that does, too
            for k in range(Lambda.size):
                r = ratio(got[path][k], want[path][k], limit[k], float(limits.eps))
                worst.see(r, f"{leaf} at Λ = {Lambda[k]:.6g}, Δ = {Delta[k]:g}")
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
        Lambda_bar, Bu, x0, reverse = args
        bound = bounds.scan(Lambda_bar, Bu, x0, reverse, dy)
        want = outcome(SEQUENTIAL.scan, *cast((args, dy), wider(dtype)))
        for engine in engines:
            got = outcome(engine.scan, *cast((args, dy), dtype))
            ratios[engine.name] = max(ratio(got[path], want[path], bound[path], eps) for path in bound)
    return ratios
