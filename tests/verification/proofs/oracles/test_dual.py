"""Dual numbers: the rules against known derivatives, and whole gradients against differences in ball
arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import factorial
from typing import Any

import mpmath
import numpy as np
import pytest

from s5ref.verification.proofs.oracles import elementary as e
from s5ref.verification.proofs.oracles import enclosures, oracle
from s5ref.verification.proofs.oracles.balls import ball, balls, distance, flint, precision
from s5ref.verification.proofs.oracles.dual import differentiated

Z = np.array([0.3 - 0.7j, -2.5 + 0.1j, 1.5 + 2j])


def slope(fn: Callable[[Any], Any], z: Any) -> Any:
    """f′ of holomorphic f: the cotangent of z for the cotangent 1, conjugated."""
    found = differentiated(lambda i: {"y": fn(i["z"])}, {"z": z}, {"y": np.ones_like(z)})
    return np.conjugate(found["d.z"])


@pytest.mark.parametrize(
    ("fn", "derivative"),
    [
        (e.exp, lambda z: e.exp(z)),
        (e.log, lambda z: 1 / z),
        (e.sqrt, lambda z: 1 / (2 * e.sqrt(z))),
        (e.tanh, lambda z: 1 - e.tanh(z) * e.tanh(z)),
        (lambda z: 3 / z - z / 2, lambda z: -3 / (z * z) - e.constant(Fraction(1, 2))),
        (lambda z: (1 - z) / (z * z + 2), lambda z: (z * z - 2 * z - 2) / ((z * z + 2) * (z * z + 2))),
        (e.phi1, lambda z: (e.exp(z) * (z - 1) + 1) / (z * z)),
        (e.phi1_prime, lambda z: (e.exp(z) * (z * z - 2 * z + 2) - 2) / (z * z * z)),
        (e.phi2, lambda z: (e.exp(z) * (z - 2) + z + 2) / (z * z * z)),
    ],
    ids=["exp", "log", "sqrt", "tanh", "sum", "quotient", "phi1", "phi1_prime", "phi2"],
)
def test_slopes_of_holomorphic_functions(fn: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> None:
    with precision(300):
        got, want = slope(fn, Z), derivative(balls(Z))
        assert all(g.overlaps(w) and g.rad() < 1e-60 for g, w in zip(got, want, strict=True))
        assert not any(g.overlaps(w + e.constant(1e-30)) for g, w in zip(got, want, strict=True))


def test_real_linear_functions() -> None:
    """φ = Re conj(c) f(z): dz = Re c for Re, i Re c for Im, conj(c) for the conjugate."""
    c = np.array([2 - 3j, 0.5j, -1])
    for fn, want in ((e.re, c.real), (e.im, 1j * c.real), (e.conj, np.conj(c))):
        found = differentiated(lambda i, fn=fn: {"y": fn(i["z"])}, {"z": Z}, {"y": c})
        assert not distance(want.astype(complex), found["d.z"]).any()


def test_ties_and_sides_of_comparisons() -> None:
    x = np.array([-1.0, -1e-3, 0.5, 2.0])
    for above, want in ((True, [1.0, 1.0, 0.0, 0.0]), (False, [0.0, 0.0, 0.0, 1.0])):
        found = differentiated(
            lambda i, above=above: {"y": e.bounded(i["x"], Fraction(1, 2), above)},
            {"x": x},
            {"y": np.ones(4)},
        )
        assert not distance(np.array(want), found["d.x"]).any()


def mp_quotient(n: int, order: int, m: Any) -> Any:
    """φ₁, φ₁′, φ₁″, φ₂ and φ₂′ as quotients."""
    e = mpmath.exp(m)
    return {
        (1, 0): (e - 1) / m,
        (1, 1): (e * (m - 1) + 1) / m**2,
        (1, 2): (e * (m**2 - 2 * m + 2) - 2) / m**3,
        (2, 0): (e - 1 - m) / m**2,
        (2, 1): (e * (m - 2) + m + 2) / m**3,
    }[n, order]


@pytest.mark.parametrize(("stage", "n", "order"), [("phi1", 1, 0), ("phi1_prime", 1, 1), ("phi2", 2, 0)])
@pytest.mark.parametrize("prime", [False, True])
def test_phi_has_two_other_opinions(stage: str, n: int, order: int, prime: bool) -> None:
    """mpmath's quotient at 700 digits, and Arb's confluent hypergeometric function: the derivative of order m
    of φₙ is m!/(n + m)! ₁F₁(m + 1; n + m + 1; z)."""
    order += prime
    near = [1e-150, 1e-12 + 1e-5j, 0.4999, -0.5, 0.5j, 0.50001]
    zeros = [2j * np.pi, -6j * np.pi, -2.0888 + 7.4615j, 2.0888 + 7.4615j]
    z = np.array([*near, *Z, *zeros, -700, 30 + 40j])
    found = enclosures(stage, {"z": z}, {"y": np.ones_like(z)})
    got = found["d.z"] if prime else found["y"]
    for ball_, at in zip(got, z, strict=True):
        with mpmath.workdps(700):
            want = mp_quotient(n, order, mpmath.mpc(complex(at)))
            want = mpmath.conj(want) if prime else want
            text = [mpmath.nstr(part, 60) for part in (want.real, want.imag)]
        with precision(230):
            other = flint().acb(*(flint().arb(t) * (1 + flint().arb(0, 1e-58)) for t in text))
            assert ball_.overlaps(other)
            assert not ball_.overlaps(other * (1 + flint().acb(1e-40)))
        with precision(400):
            exact = ball(at.conjugate() if prime else at)
            factor = flint().fmpq(factorial(order), factorial(n + order))
            assert ball_.overlaps(exact.hypgeom_1f1(order + 1, n + order + 1) * factor)


@pytest.mark.parametrize(
    ("stage", "want"), [("phi1", (1, 1 / 2)), ("phi1_prime", (1 / 2, 1 / 3)), ("phi2", (1 / 2, 1 / 6))]
)
def test_at_zero(stage: str, want: tuple[float, float]) -> None:
    found = oracle(stage, {"z": np.zeros(1)}, {"y": np.ones(1)})
    assert (found["y"][0][0], found["d.z"][0][0]) == want


def dyadic(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-(2**11), 2**11, shape) / 2**11


@pytest.mark.parametrize("head", ["classifier", "regression", "pooled_regression", "retrieval"])
def test_the_gradient_of_a_model_against_differences(head: str) -> None:
    """(f(x + ht) − f(x − ht))/2h with every argument a float exactly: off by h² = 2⁻⁶⁰ only."""
    rng = np.random.default_rng(0)
    H, P, h = 2, 2, 2.0**-30
    shapes = {
        "encoder.kernel": (2, H),
        "encoder.bias": (H,),
        "layers_0.seq.Lambda_re": (P,),
        "layers_0.seq.Lambda_im": (P,),
        "layers_0.seq.log_step": (P,),
        "layers_0.seq.B": (P, H, 2),
        "layers_0.seq.C1": (H, P, 2),
        "layers_0.seq.C2": (H, P, 2),
        "layers_0.seq.D": (H,),
        "layers_0.norm.scale": (H,),
        "layers_0.norm.bias": (H,),
        "layers_0.out1.kernel": (H, H),
        "layers_0.out1.bias": (H,),
        "layers_0.out2.kernel": (H, H),
        "layers_0.out2.bias": (H,),
        "decoder.kernel": (H, 2),
        "decoder.bias": (2,),
        "decoder.layer1.kernel": (4 * H, H),
        "decoder.layer1.bias": (H,),
        "decoder.layer2.kernel": (H, 2),
        "decoder.layer2.bias": (2,),
    }
    unused = "layer" if head != "retrieval" else "kernel"
    params = {
        k: dyadic(rng, *s)
        for k, s in shapes.items()
        if not k.startswith(f"decoder.{unused}") and k != "decoder.bias"
    } | ({} if head == "retrieval" else {"decoder.bias": dyadic(rng, 2)})
    documents = (2,) if head == "retrieval" else ()
    x = dyadic(rng, 2, *documents, 3, 2)
    reals = {"regression": (2, 3, 2), "pooled_regression": (2, 2)}
    targets = dyadic(rng, *reals[head]) if head in reals else np.array([0, 1])
    statistics = {"layers_0.norm.mean": np.zeros(H), "layers_0.norm.var": np.ones(H)}
    given = {
        "n_layers": 1,
        "head": head,
        "pooling": "mean+max" if head == "pooled_regression" else "mean",
        "bidirectional": True,
        "activation": "full_glu",
        "train": True,
        "statistics": statistics,
        "targets": targets,
        "lengths": None,
    }
    direction = {k: rng.integers(-1, 2, v.shape) for k, v in ({"x": x} | params).items()}

    def loss(s: float) -> Any:
        moved = {k: v + s * h * direction[k] for k, v in params.items()}
        return enclosures("model", {"params": moved, "x": x + s * h * direction["x"], **given})["loss"][()]

    found = enclosures("model", {"params": params, "x": x, **given}, {"loss": np.ones(())})
    with precision(300):
        along = np.sum(found["d.x"] * balls(direction["x"]))
        for name in params:
            along = along + np.sum(found[f"d.params.{name}"] * balls(direction[name]))
        difference = (loss(1) - loss(-1)) / ball(2 * h)
        assert abs(float((along / difference - 1).real)) < 1e-14
        assert abs(float(along.real)) > 1e-3
