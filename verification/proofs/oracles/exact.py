"""Gaussian rationals: bilinear and scan without any rounding. The third kind of number that the oracle's text
works for."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from s5ref.verification.proofs.oracles.balls import Balls, elementwise, flint


@dataclass(frozen=True)
class Gaussian:
    """re + i im, both rational."""

    re: Fraction
    im: Fraction

    def __add__(self, o: Any) -> Gaussian:
        o = gaussian(o)
        return Gaussian(self.re + o.re, self.im + o.im)

    __radd__ = __add__

    def __neg__(self) -> Gaussian:
        return Gaussian(-self.re, -self.im)

    def __sub__(self, o: Any) -> Gaussian:
        return self + -gaussian(o)

    def __rsub__(self, o: Any) -> Gaussian:
        return gaussian(o) + -self

    def __mul__(self, o: Any) -> Gaussian:
        o = gaussian(o)
        return Gaussian(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)

    __rmul__ = __mul__

    def __truediv__(self, o: Any) -> Gaussian:
        o = gaussian(o)
        size = o.re * o.re + o.im * o.im
        return self * Gaussian(o.re / size, -o.im / size)

    def __rtruediv__(self, o: Any) -> Gaussian:
        return gaussian(o) / self

    def conjugate(self) -> Gaussian:
        return Gaussian(self.re, -self.im)


def gaussian(x: Any) -> Gaussian:
    """A number exactly: int, float, complex, Fraction, Gaussian."""
    if isinstance(x, Gaussian):
        return x
    if isinstance(x, int | Fraction):
        return Gaussian(Fraction(x), Fraction(0))
    return Gaussian(*(Fraction(*part.as_integer_ratio()) for part in (x.real, x.imag)))


def gaussians(x: Any) -> Balls:
    """An array as exact Gaussian rationals."""
    return elementwise(gaussian, np.asarray(x))


def as_balls(x: Balls) -> Balls:
    """Gaussian rationals as enclosures at the working precision."""
    module = flint()

    def one(z: Gaussian) -> Any:
        return module.acb(*(module.fmpq(part.numerator, part.denominator) for part in (z.re, z.im)))

    return elementwise(one, x)
