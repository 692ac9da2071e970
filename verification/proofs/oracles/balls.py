"""Arrays of complex balls: exact in, enclosures out, and the largest distance of a number from its enclosure.

A ball array is a NumPy array of dtype object whose elements are python-flint's ``acb``, or anything else that
has the arithmetic: `s5ref.verification.proofs.oracles.dual.Dual`,
`s5ref.verification.proofs.oracles.exact.Gaussian`. Real numbers are balls with imaginary part 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from s5ref.errors import S5Error

Balls = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]

BITS = 200  # the precision to start with
LIMIT = 6400  # and to stop at
ACCURATE = (
    80  # bits of every element when it is accepted: far below half an ulp of float64 (and of longdouble)
)
TINY = 1150  # below 2⁻¹¹⁵⁰ nothing is left of a float64


def flint() -> Any:
    """The module python-flint; S5Error with the remedy where it is not installed."""
    try:
        import flint as module
    except ImportError as error:
        raise S5Error(
            "oracles: certified enclosures need python-flint, which is not installed.",
            'Install it: pip install "s5ref[verify]".',
        ) from error
    return module


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Ball arithmetic with so many bits."""
    context = flint().ctx
    before = context.prec
    context.prec = bits
    try:
        yield
    finally:
        context.prec = before


def ball(value: Any) -> Any:
    """One number, exactly: int, any NumPy real or complex scalar (longdouble too), Fraction."""
    module = flint()
    if isinstance(value, int | np.integer | np.bool_):
        return module.acb(int(value))
    if hasattr(value, "denominator") and not isinstance(value, np.generic | float):
        return module.acb(module.fmpq(value.numerator, value.denominator))
    return module.acb(_arb(np.real(value)), _arb(np.imag(value)))


def _arb(x: Any) -> Any:
    """A float exactly: its integer ratio has a power of two below the bar."""
    numerator, denominator = x.as_integer_ratio()
    return flint().arb((numerator, 1 - denominator.bit_length()))


def elementwise(fn: Callable[..., Any], *arrays: Any) -> Balls:
    """fn of every element, as an array of objects."""
    return np.asarray(np.frompyfunc(fn, len(arrays), 1)(*arrays), dtype=object)


def balls(x: Any) -> Balls:
    """A numeric array as exact balls, whatever the working precision."""
    return elementwise(ball, np.asarray(x))


def is_float(leaf: Any) -> bool:
    """An array of floating or complex numbers: what is turned into balls."""
    return isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc"


def accurate(z: Any) -> bool:
    """Known to ACCURATE bits, or smaller than everything that a float holds."""
    return all(_accurate(part) for part in (z.real, z.imag))


def _accurate(x: Any) -> bool:
    radius = x.rad()
    if not x.is_finite():
        return False
    arb = flint().arb
    return bool(
        radius == 0 or radius < arb(x.abs_lower()) * arb((1, -ACCURATE)) or x.abs_upper() < arb((1, -TINY))
    )


def enclose(fn: Callable[[], Mapping[str, Balls]], bits: int = BITS) -> dict[str, Balls]:
    """fn() in ball arithmetic, with twice the bits until every element is accurate. S5Error if LIMIT bits are
    not enough.

    An exact zero that comes about by cancellation takes TINY bits.
    """
    while True:
        with precision(bits):
            enclosed = {name: np.asarray(leaf, dtype=object) for name, leaf in fn().items()}
            poor = [name for name, leaf in enclosed.items() if not all(accurate(z) for z in leaf.flat)]
        if not poor:
            return enclosed
        if 2 * bits > LIMIT:
            raise S5Error(
                f"oracles: {', '.join(poor)} not known to {ACCURATE} bits at a precision of {bits} bits.",
                "Check the inputs for overflow, a pole, or a tie of a comparison.",
            )
        bits *= 2


def _up(x: Any) -> float:
    """A float not below the arb x ≥ 0."""
    value = float(x.abs_upper())
    return float(np.nextafter(value, inf)) if value > 0 or not x.is_zero() else 0.0


def distance(got: Any, want: Balls) -> Floats:
    """Upper bounds of |got − exact|: the distance to the farthest point of each enclosure. Infinite where got
    is not finite."""
    got = np.asarray(got)
    if got.shape != want.shape:
        return np.full(want.shape, inf)

    def farthest(number: Any, enclosure: Any) -> float:
        return _up((ball(number) - enclosure).abs_upper()) if np.isfinite(number) else inf

    with precision(2 * BITS):
        return elementwise(farthest, got, want).astype(np.float64)


def rounded(want: Balls, complex_valued: bool) -> tuple[npt.NDArray[Any], Floats]:
    """(midpoints rounded once to float64 or complex128, upper bounds of |rounded − exact|)."""

    def nearest(z: Any) -> complex:
        re, im = _nearest(z.real), _nearest(z.imag)
        return complex(re, im) if complex_valued else re

    values = elementwise(nearest, want).astype(np.complex128 if complex_valued else np.float64)
    return values, distance(values, want)


def _nearest(x: Any) -> float:
    """The midpoint rounded once, to nearest even: integer division of Python, subnormal numbers included."""
    mantissa, exponent = (int(part) for part in x.mid().man_exp())
    try:
        return mantissa / (1 << -exponent) if exponent < 0 else float(mantissa << exponent)
    except OverflowError:
        return inf if mantissa > 0 else -inf
