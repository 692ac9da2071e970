"""Functions of balls and duals, elementwise on object arrays: one rule for the value and one for the slope of
each."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import factorial
from typing import Any

from s5ref.verification.proofs.oracles.balls import Balls, ball, elementwise, flint
from s5ref.verification.proofs.oracles.dual import Dual

NEAR = Fraction(1, 2)  # φ₁ and φ₂ by their series up to here


Rule = Callable[[Any], Any]


def _ruled(value: Rule, tangent: Callable[[Any, Any], Any]) -> Callable[[Any], Balls]:
    """``value`` of balls, elementwise; of duals with ``tangent(value, tangent)`` for their derivatives."""

    def one(z: Any) -> Any:
        return Dual(value(z.v), tangent(z.v, z.t)) if isinstance(z, Dual) else value(z)

    return lambda x: elementwise(one, x)


def _holomorphic(value: Rule, slope: Rule) -> Callable[[Any], Balls]:
    return _ruled(value, lambda v, t: t * slope(v))


def _real_linear(value: Rule, of_matrix: Rule) -> Callable[[Any], Balls]:
    """Re, Im or the conjugate, which are their own differentials."""
    return _ruled(value, lambda v, t: of_matrix(t))


exp = _holomorphic(lambda z: z.exp(), lambda z: z.exp())
conj = _real_linear(lambda z: z.conjugate(), lambda t: t.conjugate())
re = _real_linear(lambda z: flint().acb(z.real), lambda t: flint().acb_mat(t.real))
im = _real_linear(lambda z: flint().acb(z.imag), lambda t: flint().acb_mat(t.imag))
log = _holomorphic(lambda z: z.log(), lambda z: 1 / z)
sqrt = _holomorphic(lambda z: z.sqrt(), lambda z: 1 / (2 * z.sqrt()))
tanh = _holomorphic(lambda z: z.tanh(), lambda z: z.sech() ** 2)
erfc = _holomorphic(  # of real arguments
    lambda z: flint().acb(z.real.erfc()), lambda z: -2 / flint().acb.pi().sqrt() * (-z * z).exp()
)


def _series(z: Any, coefficient: Callable[[int], Fraction]) -> Any:
    """Σ c_k zᵏ with 0 < c_k ≤ 1/k!: the tail after n terms is at most |z|ⁿ/n! · 1/(1 − |z|) for |z| < 1."""
    module = flint()
    arb, size = module.arb, module.arb(z.abs_upper())
    terms, bound = 0, arb(1)
    while bound > arb((1, -module.ctx.prec - 20)):
        terms += 1
        bound = bound * size / terms
    tail = (bound / (1 - size)).abs_upper()
    total = module.acb(0)
    for k in reversed(range(terms)):
        total = total * z + ball(coefficient(k))
    radius = arb(0, tail)
    return total + (module.acb(radius) if z.imag.is_zero() else module.acb(radius, radius))


def _entire(coefficient: Callable[[int], Fraction], closed: Rule) -> Rule:
    """By the series near 0, by the closed form elsewhere."""
    return lambda z: _series(z, coefficient) if z.abs_upper() < ball(NEAR).real else closed(z)


_phi1 = _entire(lambda k: Fraction(1, factorial(k + 1)), lambda z: (z.exp() - 1) / z)
_phi1_prime = _entire(
    lambda k: Fraction(k + 1, factorial(k + 2)), lambda z: (z.exp() * (z - 1) + 1) / (z * z)
)
_phi1_second = _entire(
    lambda k: Fraction((k + 1) * (k + 2), factorial(k + 3)),
    lambda z: (z.exp() * (z * z - 2 * z + 2) - 2) / (z * z * z),
)
_phi2 = _entire(lambda k: Fraction(1, factorial(k + 2)), lambda z: (z.exp() - 1 - z) / (z * z))
_phi2_prime = _entire(
    lambda k: Fraction(k + 1, factorial(k + 3)), lambda z: (z.exp() * (z - 2) + z + 2) / (z * z * z)
)
phi1 = _holomorphic(_phi1, _phi1_prime)  # (eᶻ − 1)/z; at 0, 1
phi1_prime = _holomorphic(_phi1_prime, _phi1_second)
phi2 = _holomorphic(_phi2, _phi2_prime)  # (eᶻ − 1 − z)/z²; at 0, ½
constant = ball  # a number of the formulas, exactly: int, float, Fraction


def pi() -> Any:
    return flint().acb.pi()


def larger(x: Balls, y: Balls) -> Balls:
    """The larger of two; x where they are equal. One that the balls cannot decide is not finite."""

    def one(a: Any, b: Any) -> Any:
        u, v = ((z.v if isinstance(z, Dual) else z).real for z in (a, b))
        if v > u:
            return b
        return a if v <= u else flint().acb("nan")

    return elementwise(one, x, y)


def bounded(x: Balls, limit: Fraction, above: bool) -> Balls:
    """min(x, limit) (``above``) or max(x, limit). At a tie the derivative is 0; one that the balls cannot
    decide is not finite."""

    def one(z: Any) -> Any:
        v, at = (z.v if isinstance(z, Dual) else z).real, ball(limit).real
        if (v < at) if above else (v > at):
            return z
        if not ((v >= at) if above else (v <= at)) and not v.overlaps(at):
            return flint().acb("nan")
        return ball(limit)

    return elementwise(one, x)
