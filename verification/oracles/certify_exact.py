"""Exact statements: bilinear and scan against Gaussian rationals, and the initial state matrix against proven
eigenvalues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import SEQUENTIAL
from s5ref.random import generator
from s5ref.ssm.discretize import bilinear
from s5ref.ssm.hippo import diagonalise
from s5ref.verification import bounds, discretization_bounds
from s5ref.verification.budget import THRESHOLD, cast
from s5ref.verification.oracles import ssm
from s5ref.verification.oracles.balls import BITS, balls, distance, flint, precision, ratio
from s5ref.verification.oracles.exact import as_balls, gaussians
from s5ref.verification.report import Row, Worst

GROUP = "certified"
SIZES = (1, 2, 3, 4, 8, 16)  # of HiPPO
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
        rng = generator("certify", "rational", reverse)

        def z(*shape: int, rng: np.random.Generator = rng) -> Array:
            return np.asarray(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))

        Lambda, Delta, Bu, x0 = cast(
            (z(4) * 3 - 4, np.exp(rng.standard_normal(4) - 2), z(2, 6, 4), z(2, 4)), dtype
        )
        Lambda_bar, gain = bilinear(Lambda, Delta)[0]
        limit = discretization_bounds.bilinear(*cast((Lambda, Delta), np.float64))
        want = ssm.bilinear(gaussians(Lambda), gaussians(Delta))
        for name, got, exact, path in (("Λ̄", Lambda_bar, want[0], "0"), ("gain", gain, want[1], "1")):
            worst.see(ratio(got, as_balls(exact), limit[path], eps), f"{name} of bilinear")
        x, last = engine.scan.value(Lambda_bar, Bu, x0, reverse)[0]
        a, b, start = cast((Lambda_bar, Bu, x0), np.float64)
        of_scan = bounds.scan(a, b, start, reverse, (None, None))
        exact_x, exact_last = ssm.scan(gaussians(Lambda_bar), gaussians(Bu), gaussians(x0), reverse)
        for name, got, exact, path in (("x", x, exact_x, "y.0"), ("final state", last, exact_last, "y.1")):
            worst.see(ratio(got, as_balls(exact), of_scan[path], eps), f"{name}, reverse={reverse}")
    return worst.row(GROUP, "bilinear and scan: rational", engine.name, dtype, THRESHOLD)


def _bit_for_bit(engine: Engine, dtype: str) -> Row:
    """Λ̄ and Bu are small Gaussian integers: every state is a number of the precision, so every engine must
    give exactly it."""
    worst = Worst()
    for reverse in (False, True):
        for varying in (False, True):
            rng = generator("certify", "integers", reverse, varying)

            def z(*shape: int, rng: np.random.Generator = rng) -> Array:
                return np.asarray(rng.integers(-2, 3, shape) + 1j * rng.integers(-2, 3, shape))

            a, Bu, x0 = cast((z(2, 6, 3) if varying else z(3), z(2, 6, 3), z(2, 3)), dtype)
            x, last = engine.scan.value(a, Bu, x0, reverse)[0]
            exact_x, exact_last = ssm.scan(gaussians(a), gaussians(Bu), gaussians(x0), reverse)
            for name, got, exact in (("x", x, exact_x), ("final state", last, exact_last)):
                differ = sum(u != v for u, v in zip(gaussians(got).flat, exact.flat, strict=True))
                worst.see(float(differ), f"{name} that differ, reverse={reverse}, varying={varying}")
    return worst.row(GROUP, "scan: integers, bit for bit", engine.name, dtype, 0.0)


def _state_matrix() -> Iterator[Row]:
    """|Λ − exact|, |A V − V Λ| and |Vᴴ V − I|, each at most EIGH n eps ‖A‖: backward stability of ``eigh``,
    in the units of LAPACK's tests."""
    eigenvalues, residual, unitary = Worst(), Worst(), Worst()
    for n in SIZES:
        Lambda, V = diagonalise(n)
        exact = ssm.hippo_eigenvalues(n)
        eps = float(np.finfo(np.float64).eps)
        limit = EIGH * n * max(float(np.max(np.abs(Lambda))), 1.0)
        eigenvalues.see(ratio(Lambda, exact, limit, eps), f"n={n}")
        with precision(BITS):
            acb_mat = flint().acb_mat
            v, diagonal = (acb_mat(n, n, list(balls(a).flat)) for a in (V, np.diag(Lambda)))
            defect = ssm.legs_normal(n) * v - v * diagonal
            identity = v.conjugate().transpose() * v - acb_mat(
                n, n, [int(i == k) for i in range(n) for k in range(n)]
            )
        for worst, matrix, size in ((residual, defect, limit), (unitary, identity, EIGH * n)):
            worst.see(_largest(matrix) / (eps * size), f"n={n}")
    for name, worst in (("eigenvalues", eigenvalues), ("eigenvectors", residual), ("unitary", unitary)):
        yield worst.row(GROUP, f"hippo: {name}", SEQUENTIAL.name, "float64", THRESHOLD)


def _largest(matrix: Any) -> float:
    entries = np.array(matrix.entries(), dtype=object)
    return float(np.max(distance(np.zeros(entries.shape), entries)))
