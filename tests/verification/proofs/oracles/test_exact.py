"""Gaussian rationals: identities that hold exactly, and balls that contain them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from s5ref.verification.proofs.oracles import enclosures, ssm
from s5ref.verification.proofs.oracles.balls import balls, flint, precision
from s5ref.verification.proofs.oracles.exact import Gaussian, as_balls, gaussian, gaussians

RNG = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def test_arithmetic() -> None:
    z, w = gaussian(1 + 2j), gaussian(Fraction(1, 3))
    assert z * z == gaussian(-3 + 4j)
    assert (1 / z) * z == gaussian(1)
    assert 1 - z == gaussian(-2j)
    assert z + w - w == z
    assert z.conjugate() * z == gaussian(5)
    assert gaussian(0.1) == Gaussian(Fraction(0.1), Fraction(0))
    assert z != z + Fraction(1, 10**30)


@pytest.mark.parametrize("varying", [False, True])
def test_a_scan_is_a_scan_in_any_grouping(varying: bool) -> None:
    """(a, b) • (c, d) = (ca, cb + d) from the right end inwards equals the loop; reverse = flip ∘ scan ∘
    flip. Exactly."""
    a = gaussians(draw(1, 5, 2) if varying else draw(2))
    b, x0 = gaussians(draw(1, 5, 2)), gaussians(draw(1, 2))
    x, last = ssm.scan(a, b, x0)
    for p in range(2):
        factor, offset = gaussian(1), gaussian(0)
        for k in reversed(range(5)):
            step = a[0, k, p] if varying else a[p]
            factor, offset = factor * step, factor * b[0, k, p] + offset
        assert factor * x0[0, p] + offset == last[0, p] == x[0, 4, p]
    mirrored, _ = ssm.scan(a[:, ::-1] if varying else a, b[:, ::-1], x0, reverse=True)
    assert (mirrored[:, ::-1] == x).all()


def test_bilinear_is_exact_and_the_balls_contain_it() -> None:
    Lambda, Delta = draw(4) * 3 - 4, np.exp(RNG.standard_normal(4))
    exact = ssm.bilinear(gaussians(Lambda), gaussians(Delta))
    half = gaussians(Lambda) * gaussians(Delta) / 2
    assert (exact[0] * (1 - half) == 1 + half).all()
    enclosed = enclosures("discretize", {"Lambda": Lambda, "Delta": Delta, "method": "bilinear"})
    for name, want in zip(("Lambda_bar", "gain"), exact, strict=True):
        with precision(400):
            narrow = as_balls(want)
            assert all(ball.contains(z) for ball, z in zip(enclosed[name], narrow, strict=True))
            moved = narrow * (1 + flint().acb(1e-40))
            assert not any(ball.overlaps(z) for ball, z in zip(enclosed[name], moved, strict=True))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16])
def test_frequencies_solve_the_equation_of_the_derivation(n: int) -> None:
    """Σ arctan(ω/(i + ½)) = (π/2)(n − 1 − 2j), n − 1 − 2j ascending; and n = 2 gives ±√3/2."""
    frequencies = [z.imag for z in ssm.hippo_eigenvalues(n)]
    arb = flint().arb
    with precision(200):
        for j, omega in enumerate(frequencies):
            angle = sum(((2 * omega) / (2 * i + 1)).atan() for i in range(n))
            assert angle.overlaps(arb.pi() / 2 * (2 * j + 1 - n))
            assert not angle.overlaps(arb.pi() / 2 * (2 * j + 1 - n) + arb(1e-40))
        if n == 2:
            assert frequencies[1].overlaps(arb(3).sqrt() / 2)


def test_the_same_text_runs_on_floats_made_exact() -> None:
    a, b = draw(3), draw(2, 4, 3)
    got = ssm.scan(balls(a), balls(b))[0]
    want = as_balls(ssm.scan(gaussians(a), gaussians(b))[0])
    assert all(g.overlaps(w) for g, w in zip(got.flat, want.flat, strict=True))
