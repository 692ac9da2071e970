"""The certified statement: at small sizes every value and every cotangent lies within its stated budget of
its enclosure.

The measure is one ratio: the distance to the farthest point of the enclosure over eps · bound. The bounds are
those of `s5ref.verification.rounding.bounds` and `discretization_bounds`, of
`s5ref.verification.rounding.operation_bounds` for what is no kernel, and composite budgets for SSMs, layers
and models. Enclosures and budgets are shared by all engines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.random import generator
from s5ref.settings import check_known
from s5ref.ssm.discretize import bilinear
from s5ref.ssm.hippo import diagonalise
from s5ref.tree import leaves
from s5ref.verification.draws import Normal
from s5ref.verification.proofs.oracles import ssm
from s5ref.verification.proofs.oracles.balls import BITS, Balls, balls, distance, flint, precision
from s5ref.verification.proofs.oracles.exact import as_balls, gaussians
from s5ref.verification.proofs.oracles.stages import enclosures
from s5ref.verification.report import Row, Worst
from s5ref.verification.rounding import bounds, discretization_bounds
from s5ref.verification.rounding.budget import THRESHOLD, UNIT, cast, composite_budget, over
from s5ref.verification.selfcheck import operations
from s5ref.verification.selfcheck.composites import Composite, composites
from s5ref.verification.selfcheck.problems import BASE, PROBLEMS, Options, problem

GROUP = "certified"
SEEDS = range(6)
SIZES: dict[str, tuple[Options, Options]] = {  # what is other than in `s5ref.verification.selfcheck.problems`
    "small": ({"d_model": 3, "ssm_size": 4, "blocks": 1, "in_dim": 2, "n_classes": 2}, {"n": 2, "length": 4}),
    "base": ({}, {}),
}


def certify(
    engine: Engine, dtype: str, size: str = "small", groups: Iterable[str] | None = None
) -> Iterator[Row]:
    """A row per operation and kind of quantity (values, cotangents), of one engine in one precision.

    Operations that are no kernel are the same for every engine and are certified with SEQUENTIAL only.

    Parameters
    ----------
    engine : Engine
    dtype : {"float32", "float64"}
    size : {"small", "base"}
        Of the models: `SIZES`.
    groups : iterable of str, optional
        The groups of `s5ref.verification.selfcheck.problems.PROBLEMS` to take; default: all, [] for none.

    Yields
    ------
    Row
        The largest ratio to the budget, and where it is.

    Raises
    ------
    S5Error
        For another size, or python-flint missing.
    """
    check_known("size", size, SIZES, "certify")
    yield from certify_operations(engine, dtype)
    yield from certify_models(engine, dtype, size, groups)
    yield from exact_rows(engine, dtype)


def certify_operations(engine: Engine, dtype: str) -> Iterator[Row]:
    """Every single operation."""
    return _rows(engine, dtype, _operations(engine, dtype))


def certify_models(
    engine: Engine, dtype: str, size: str = "small", groups: Iterable[str] | None = None
) -> Iterator[Row]:
    """SSM, step, mix, layer and model of every problem."""
    return _rows(engine, dtype, _models(engine, dtype, size, PROBLEMS if groups is None else groups))


def ratio(got: Any, want: Balls, bound: Any, eps: float) -> float:
    """max of the distance to the farthest point of the enclosure over eps · bound, as
    `s5ref.verification.rounding.budget.ratio`: where the bound is 0 got must be exact."""
    return float(np.max(over(distance(got, want), bound, eps, np.asarray(got).dtype), initial=0.0))


class Compared(NamedTuple):
    """What was computed of a stage, its enclosures, and the bounds in units of eps."""

    stage: str
    name: str
    got: Mapping[str, Any]
    want: Mapping[str, Balls]
    bounds: Mapping[str, Any]
    eps: float


def _rows(engine: Engine, dtype: str, compared: Iterable[Compared]) -> Iterator[Row]:
    """The worst ratio of every stage and kind of quantity."""
    worst: defaultdict[str, Worst] = defaultdict(Worst)
    for stage, name, got, want, limits, eps in compared:
        for leaf in {**want, **got}:
            there = leaf in want and leaf in got and np.asarray(got[leaf]).real.dtype == np.dtype(dtype)
            value = ratio(got[leaf], want[leaf], limits.get(leaf, 0.0), eps) if there else float("inf")
            kind = "cotangents" if leaf.startswith("d.") else "values"
            worst[f"{stage}: {kind}"].see(value, f"{leaf} at {name}")
    for name, of_name in worst.items():
        yield of_name.row(GROUP, name, engine.name, dtype, THRESHOLD)


def _operations(engine: Engine, dtype: str) -> Iterator[Compared]:
    for case in operations.cases():
        if operations.OPERATIONS[case.field].pair is not None and engine is not SEQUENTIAL:
            continue
        if case.field == "gelu_erf" and np.dtype(dtype).itemsize > 8:
            continue
        given, eps = cast(case, dtype), float(np.finfo(dtype).eps)
        got, limits = operations.computed(engine, given), operations.bounds_of(cast(given, np.float64))
        want = _enclosures(case.field, case.name, dtype)
        yield Compared(case.field, case.name, got, want, limits, eps)


def _models(engine: Engine, dtype: str, size: str, groups: Iterable[str]) -> Iterator[Compared]:
    for group, name in ((of, name) for of in groups for name in PROBLEMS[of]):
        if "erf" in name and np.dtype(dtype).itemsize > 8:
            continue
        for i, composite in enumerate(_composites(group, name, dtype, size)):
            want, budget = _judged(group, name, dtype, size, i)
            got = dict(leaves(composite.run(engine)))
            yield Compared(composite.stage, f"{group}: {name}", got, want, budget, 1.0)


@cache
def _enclosures(field: str, name: str, dtype: str) -> dict[str, Balls]:
    case = next(case for case in operations.cases() if (case.field, case.name) == (field, name))
    given = cast(case, dtype)
    enclosed: dict[str, Balls] = enclosures(
        field, operations.inputs_of(given), operations.cotangent_of(given)
    )
    return enclosed


@cache
def _composites(group: str, name: str, dtype: str, size: str) -> list[Composite]:
    config, shape = SIZES[size]
    model, more = PROBLEMS[group][name]
    of_image = {"in_dim": model["in_dim"]} if "encoder" in model else {}
    at = problem(group, name, replace(BASE, **{**model, **config, **of_image}), **{**shape, **more})
    parts: list[Composite] = composites(at, dtype)
    return parts


@cache
def _judged(group: str, name: str, dtype: str, size: str, i: int) -> tuple[dict[str, Balls], dict[str, Any]]:
    """(enclosures, budgets) of a composite. One rounding of the exact value is always granted: no float may
    be nearer."""
    composite = _composites(group, name, dtype, size)[i]
    want = enclosures(composite.stage, composite.inputs, composite.cotangent)
    budget_of = composite.budget_of or composite.run
    reference, deviations = composite_budget(budget_of, SEQUENTIAL, SEEDS, composite.terms)
    eps = float(np.finfo(dtype).eps)
    budget: dict[str, Any] = {
        leaf: np.maximum(d, UNIT * eps * np.abs(reference[leaf])) + eps * composite.besides.get(leaf, 0.0)
        for leaf, d in deviations.items()
    }
    return want, budget | {leaf: eps * bound for leaf, bound in composite.bounds.items()}


HIPPO_SIZES = (1, 2, 3, 4, 8, 16)
EIGH = 4.0  # n eps ‖A‖: an order below the threshold of LAPACK's own tests of its eigensolvers


def exact_rows(engine: Engine, dtype: str) -> Iterator[Row]:
    """Rounded against rational arithmetic; bit for bit where nothing rounds; with SEQUENTIAL in float64 the
    state matrix too."""
    with precision(BITS):
        rational = _rational(engine, dtype)
    yield rational
    yield _bit_for_bit(engine, dtype)
    if engine is SEQUENTIAL and dtype == "float64":
        yield from _state_matrix()


def _rational(engine: Engine, dtype: str) -> Row:
    """Λ̄ and gain of bilinear, then the scan of its own rounded Λ̄."""
    worst, eps = Worst(), float(np.finfo(dtype).eps)
    for reverse in (False, True):
        n = Normal("certify", "rational", reverse)
        drawn = n.complex(4) * 3 - 4, np.exp(n(4) - 2), n.complex(2, 6, 4), n.complex(2, 4)
        Lambda, Delta, Bu, x0 = cast(drawn, dtype)
        Lambda_bar, gain = bilinear(Lambda, Delta)[0]
        limit = discretization_bounds.bilinear(*cast((Lambda, Delta), np.float64))
        want = ssm.bilinear(gaussians(Lambda), gaussians(Delta))
        for name, got, exact, path in (("Λ̄", Lambda_bar, want[0], "0"), ("gain", gain, want[1], "1")):
            worst.see(ratio(got, as_balls(exact), limit[path], eps), f"{name} of bilinear")
        args = Lambda_bar, Bu, x0, reverse
        wide_bar, wide_Bu, wide_x0 = cast((Lambda_bar, Bu, x0), np.float64)
        of_scan = bounds.scan(wide_bar, wide_Bu, wide_x0, reverse, (None, None))
        for path, (name, got, exact) in zip(("y.0", "y.1"), _scanned(engine, *args), strict=True):
            worst.see(ratio(got, as_balls(exact), of_scan[path], eps), f"{name}, reverse={reverse}")
    return worst.row(GROUP, "bilinear and scan: rational", engine.name, dtype, THRESHOLD)


def _bit_for_bit(engine: Engine, dtype: str) -> Row:
    """Λ̄ and Bu are small Gaussian integers: every state is a number of the precision, so every engine must
    give exactly it."""
    worst = Worst()
    for reverse, varying in product((False, True), (False, True)):
        rng = generator("certify", "integers", reverse, varying)

        def z(*shape: int, rng: np.random.Generator = rng) -> Array:
            return np.asarray(rng.integers(-2, 3, shape) + 1j * rng.integers(-2, 3, shape))

        args = cast((z(2, 6, 3) if varying else z(3), z(2, 6, 3), z(2, 3), reverse), dtype)
        for name, got, exact in _scanned(engine, *args):
            differ = sum(u != v for u, v in zip(gaussians(got).flat, exact.flat, strict=True))
            worst.see(float(differ), f"{name} that differ, reverse={reverse}, varying={varying}")
    return worst.row(GROUP, "scan: integers, bit for bit", engine.name, dtype, 0.0)


def _scanned(
    engine: Engine, Lambda_bar: Array, Bu: Array, x0: Array, reverse: bool
) -> Iterator[tuple[str, Array, Balls]]:
    """x and the final state: (name, as the engine computes it, as Gaussian rationals)."""
    got = engine.scan.value(Lambda_bar, Bu, x0, reverse)[0]
    exact = ssm.scan(gaussians(Lambda_bar), gaussians(Bu), gaussians(x0), reverse)
    return zip(("x", "final state"), got, exact, strict=True)


def _state_matrix() -> Iterator[Row]:
    """|Λ − exact|, |A V − V Λ| and |Vᴴ V − I|, each at most EIGH n eps ‖A‖: backward stability of ``eigh``,
    in the units of LAPACK's tests."""
    worst = {name: Worst() for name in ("eigenvalues", "eigenvectors", "unitary")}
    eps, acb_mat = float(np.finfo(np.float64).eps), flint().acb_mat
    for n in HIPPO_SIZES:
        Lambda, V = diagonalise(n)
        limit = EIGH * n * max(float(np.max(np.abs(Lambda))), 1.0)
        worst["eigenvalues"].see(ratio(Lambda, ssm.hippo_eigenvalues(n), limit, eps), f"n={n}")
        with precision(BITS):
            v, diagonal, identity = (
                acb_mat(n, n, list(balls(a).flat)) for a in (V, np.diag(Lambda), np.eye(n))
            )
            residual = ssm.legs_normal(n) * v - v * diagonal
            defect = v.conjugate().transpose() * v - identity
        for name, matrix, size in (("eigenvectors", residual, limit), ("unitary", defect, EIGH * n)):
            entries = np.array(matrix.entries(), dtype=object)
            largest = float(np.max(distance(np.zeros(entries.shape), entries)))
            worst[name].see(largest / (eps * size), f"n={n}")
    for name, of_name in worst.items():
        yield of_name.row(GROUP, f"hippo: {name}", SEQUENTIAL.name, "float64", THRESHOLD)
