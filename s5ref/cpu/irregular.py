"""The recurrence under irregular sampling, and its vjp: multipliers of every step are made from its interval
in registers and never stored.

    x_k = a_k x_{k−1} + c_k w_k,  z_k = τ_k Z

of P' states, with Z = ΛΔ of the regular step, intervals τ, and w = B̃u in the unit of the rule:

    zoh     a = eᶻ,  c = eᶻ − 1,  w = B̃u/Λ       Δτ φ₁(z) B̃u = c w
    dirac   a = eᶻ,  c = 1,       w = B̃u

Complex numbers are worked on as vectors of real and of imaginary parts; in memory they are pairs. eᶻ and
eᶻ − 1 come from one reduction, e^x = 2ᵏ(1 + p) and cos y = 1 − 2 sin²(y/2), so that neither cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, log, pi
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from s5ref.cpu.simd import I32, I64, Matrix, Vectors, emitted
from s5ref.ssm.phi import PHI1_PRIME, series


class Complex(NamedTuple):
    """A vector of complex numbers: real and imaginary parts."""

    re: Any
    im: Any


class Arithmetic:
    """Complex arithmetic where a builder stands, and the exponential."""

    def __init__(self, v: Vectors) -> None:
        self.v, self.builder = v, v.builder
        single = v.size == 4
        self.real = np.float32 if single else np.float64
        self.bits, self.bias = (23, 127) if single else (52, 1023)
        self.terms = (7, 13, 12) if single else (13, 21, 20)  # degrees of expm1, sin, cos
        self.range = (-87.0, 88.0) if single else (-708.0, 709.0)
        self.magic = 1.5 * 2**self.bits  # x + magic − magic rounds x to an integer

    def number(self, x: float) -> Any:
        return ir.Constant(self.v.type, [float(self.real(x))] * self.v.lanes)

    def multiply(self, a: Complex, b: Complex) -> Complex:
        fmul, fma, neg = self.builder.fmul, self.v.fma, self.builder.fneg
        return Complex(fma(neg(a.im), b.im, fmul(a.re, b.re)), fma(a.re, b.im, fmul(a.im, b.re)))

    def multiply_add(self, a: Complex, b: Complex, c: Complex) -> Complex:
        """a b + c."""
        fma, neg = self.v.fma, self.builder.fneg
        return Complex(fma(a.re, b.re, fma(neg(a.im), b.im, c.re)), fma(a.re, b.im, fma(a.im, b.re, c.im)))

    def conj(self, a: Complex) -> Complex:
        return Complex(a.re, self.builder.fneg(a.im))

    def scale(self, a: Complex, t: Any) -> Complex:
        return Complex(self.builder.fmul(a.re, t), self.builder.fmul(a.im, t))

    def exponentials(self, z: Complex) -> tuple[Complex, Complex]:
        """eᶻ and eᶻ − 1. Re z is clipped to where e^(Re z) is a normal number."""
        builder, fma = self.builder, self.v.fma
        power, less = self._exp_parts(z.re)
        turns, y = self._rounded(builder.fmul(z.im, self.number(1 / (2 * pi)))), z.im
        for part in self._parts(2 * pi):  # y − 2π turns
            y = fma(builder.fneg(turns), part, y)
        half = builder.fmul(y, self.number(0.5))
        square = builder.fmul(half, half)
        _, of_sin, of_cos = self.terms
        sine = builder.fmul(half, self._alternating(square, 1, of_sin))
        cosine = self._alternating(square, 0, of_cos)
        cos_less = builder.fmul(self.number(-2), builder.fmul(sine, sine))  # cos y − 1
        cos = builder.fadd(cos_less, self.number(1))
        sin = builder.fmul(self.number(2), builder.fmul(sine, cosine))
        e = fma(power, less, power)
        im = builder.fmul(e, sin)
        less_one = fma(power, less, builder.fsub(power, self.number(1)))  # e^(Re z) − 1
        return Complex(builder.fmul(e, cos), im), Complex(fma(less_one, cos, cos_less), im)

    def slope(self, z: Complex, e: Complex, less: Complex) -> Complex:
        """z φ₁′(z) = eᶻ − φ₁(z): for |z| ≤ 1 by the series of φ₁′, beyond as eᶻ − (eᶻ − 1)/z."""
        builder = self.builder
        size = self.v.fma(z.re, z.re, builder.fmul(z.im, z.im))
        zero = self.number(0)
        first, *rest = (Complex(self.number(c), zero) for c in series(PHI1_PRIME, np.dtype(self.real)))
        total = first
        for c in rest:
            total = self.multiply_add(total, z, c)
        near = self.multiply(total, z)
        quotient = self.multiply(less, self.conj(z))
        far = [builder.fsub(a, builder.fdiv(b, size)) for a, b in zip(e, quotient, strict=True)]
        small = builder.fcmp_ordered("<=", size, self.number(1))
        return Complex(*(builder.select(small, a, b) for a, b in zip(near, far, strict=True)))

    def _exp_parts(self, x: Any) -> tuple[Any, Any]:
        """(2ᵏ, p) with e^x = 2ᵏ(1 + p), |p| < ½."""
        builder, fma = self.builder, self.v.fma
        low, high = (self.number(edge) for edge in self.range)
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)  # NaN stays NaN
        x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
        k = self._rounded(builder.fmul(x, self.number(1 / log(2))))
        for part in self._parts(log(2)):
            x = fma(builder.fneg(k), part, x)
        degree = self.terms[0]
        p = self.number(1 / factorial(degree))
        for n in range(degree - 1, 1, -1):
            p = fma(p, x, self.number(1 / factorial(n)))
        p = fma(builder.fmul(p, x), x, x)
        kind = ir.VectorType(ir.IntType(8 * self.v.size), self.v.lanes)
        bias, bits = (ir.Constant(kind, [n] * self.v.lanes) for n in (self.bias, self.bits))
        power = builder.shl(builder.add(builder.fptosi(k, kind), bias), bits)
        return builder.bitcast(power, self.v.type), p

    def _alternating(self, square: Any, first: int, last: int) -> Any:
        """Σ ± y^(n − first)/n! over n = first, first + 2 … last, from ``square`` = y²."""
        total = self.number(0)
        for n in range(last, first - 1, -2):
            total = self.v.fma(total, square, self.number((-1) ** ((n - first) // 2) / factorial(n)))
        return total

    def _rounded(self, x: Any) -> Any:
        magic = self.number(self.magic)
        return self.builder.fsub(self.builder.fadd(x, magic), magic)

    def _parts(self, x: float) -> list[Any]:
        """x in the precision of the vectors, and what is left of it."""
        head = float(self.real(x))
        rest = {2 * pi: 2.4492935982947064e-16, log(2): 2.3190468138462996e-17}[x] + (x - head)
        return [self.number(head), self.number(rest)]


class Places:
    """Where complex numbers lie in rows, as pairs: of the ``width`` that begin with ``column``, those from
    number ``j`` on.
    """

    def __init__(self, v: Vectors, column: Any, j: Any, width: Any) -> None:
        self.v, builder = v, v.builder
        self.j, self.offset = j, builder.add(column, builder.mul(j, I64(2)))
        left = builder.sub(width, j)
        self.mask = v.first(left)
        twice = builder.mul(left, I64(2))
        self.masks = v.first(twice), v.first(builder.sub(twice, I64(v.lanes)))

    def load(self, row: Any) -> Complex:
        """Of the row at a pointer."""
        lanes = self.v.lanes
        both = [self.v.load(p, m) for p, m in zip(self._pointers(row), self.masks, strict=True)]
        return Complex(*(self._shuffled(both, range(part, 2 * lanes, 2)) for part in (0, 1)))

    def store(self, z: Complex, row: Any) -> None:
        lanes = self.v.lanes
        for half, p, mask in zip((0, lanes // 2), self._pointers(row), self.masks, strict=True):
            order = [half + i // 2 + lanes * (i % 2) for i in range(lanes)]
            self.v.store(self._shuffled(z, order), p, mask)

    def parts(self, rows: Matrix, row: int) -> Any:
        """The vector of real numbers from column j on of a row of ``rows``."""
        return self.v.load(rows.at(I64(row), self.j), self.mask)

    def _pointers(self, row: Any) -> list[Any]:
        return self.v.pointers(self.v.builder.gep(row, [self.offset]), 2)

    def _shuffled(self, pair: Sequence[Any], order: Sequence[int]) -> Any:
        index = ir.Constant(ir.VectorType(I32, self.v.lanes), [I32(i) for i in order])
        return self.v.builder.shuffle_vector(*pair, index)


def _scan(
    v: Vectors, rows: Matrix, column: Any, Z: Matrix, tau: Matrix, x: Matrix, backwards: Any, held: bool
) -> None:
    builder, m, last = v.builder, Arithmetic(v), v.builder.sub(rows.height, I64(1))

    def columns(j: Any, _vectors: int, _mask: Any) -> None:
        inside, carry = Places(v, column, j, Z.width), Places(v, I64(0), j, Z.width)
        rate = Complex(inside.parts(Z, 0), inside.parts(Z, 1))

        def step(k: Any, state: Sequence[Any]) -> Sequence[Any]:
            t = builder.select(backwards, builder.sub(last, k), k)
            e, less = m.exponentials(m.scale(rate, v.splat(builder.load(tau.at(I64(0), t)))))
            w = inside.load(rows.at(t))
            after = m.multiply_add(e, Complex(*state), m.multiply(less, w) if held else w)
            inside.store(after, rows.at(t))
            return after

        carry.store(Complex(*v.loop(rows.height, carry.load(x.data), step)), x.data)

    v.columns(Z.width, (1,), columns)


def _adjoint(
    v: Vectors, rows: Matrix, column: Any, states: Matrix, before: Matrix, w: Matrix, Z: Matrix, tau: Matrix,
    x: Matrix, sums: Matrix, backwards: Any, held: bool,
) -> None:  # fmt: skip
    builder, m, last = v.builder, Arithmetic(v), v.builder.sub(rows.height, I64(1))

    def columns(j: Any, _vectors: int, _mask: Any) -> None:
        inside, carry = Places(v, column, j, Z.width), Places(v, I64(0), j, Z.width)
        rate = Complex(inside.parts(Z, 0), inside.parts(Z, 1))

        def step(k: Any, values: Sequence[Any]) -> Sequence[Any]:
            d, total, scaled = Complex(*values[:2]), Complex(*values[2:4]), values[4]
            t = builder.select(backwards, builder.sub(last, k), k)
            beside = builder.select(backwards, builder.sub(t, I64(1)), builder.add(t, I64(1)))
            edge = builder.icmp_signed("==", k, last)
            previous = inside.load(builder.select(edge, before.data, states.at(beside)))
            interval = v.splat(builder.load(tau.at(I64(0), t)))
            z = m.scale(rate, interval)
            e, less = m.exponentials(z)
            through, here = inside.load(rows.at(t)), m.multiply(e, previous)
            d = Complex(builder.fadd(d.re, through.re), builder.fadd(d.im, through.im))
            of_z, of_step = here, here
            if held:
                entered = carry.load(w.at(t))
                of_z = m.multiply_add(m.slope(z, e, less), entered, here)
                of_step = m.multiply_add(e, entered, here)
            part = m.scale(m.multiply(m.conj(of_z), d), interval)
            total = Complex(*(builder.fadd(a, b) for a, b in zip(total, part, strict=True)))
            scaled = builder.fadd(scaled, m.multiply(m.conj(m.multiply(z, of_step)), d).re)
            inside.store(m.multiply(m.conj(less), d) if held else d, rows.at(t))
            return [*m.multiply(m.conj(e), d), *total, scaled]

        start = [*carry.load(x.data), v.zero, v.zero, v.zero]
        *d, re, im, scaled = v.loop(rows.height, start, step)
        carry.store(Complex(*d), x.data)
        at = builder.add(Z.width, j)
        for number, p in ((re, sums.at(I64(0), j)), (im, sums.at(I64(0), at)), (scaled, sums.at(I64(1), j))):
            v.store(builder.fadd(v.load(p, inside.mask), number), p, inside.mask)

    v.columns(Z.width, (1,), columns)


@emitted
def scan_held(
    v: Vectors, rows: Matrix, column: Any, Z: Matrix, tau: Matrix, x: Matrix, backwards: Any
) -> None:
    """Zero-order hold: x ← a x + c w, w ← x, in place. rows (T, …) of w and then x, Z (2, P') real and
    imaginary parts, tau (T), x (2P') the state before and after.

    for t = 0 … T−1, or T−1 … 0 where ``backwards``:
        x = exp(tau[t] * Z) * x + (exp(tau[t] * Z) − 1) * rows[t, column : column + 2P']
        rows[t, column : column + 2P'] = x
    """
    _scan(v, rows, column, Z, tau, x, backwards, held=True)


@emitted
def scan_impulses(
    v: Vectors, rows: Matrix, column: Any, Z: Matrix, tau: Matrix, x: Matrix, backwards: Any
) -> None:
    """Dirac's rule: the same with c = 1."""
    _scan(v, rows, column, Z, tau, x, backwards, held=False)


@emitted
def adjoint_held(
    v: Vectors, rows: Matrix, column: Any, states: Matrix, before: Matrix, w: Matrix, Z: Matrix, tau: Matrix,
    x: Matrix, sums: Matrix, backwards: Any,
) -> None:  # fmt: skip
    """The vjp of `scan_held`, against its direction: dx ← dw in ``rows`` (T, …); w (T, 2P'); states (T, …),
    and ``before`` (…) where the recurrence came from; x (2P') the cotangent that enters, and the one that
    leaves; sums (2, 2P'): of dZ real parts and imaginary parts, and of d log Δ.

    for t = T−1 … 0 where ``backwards``, or 0 … T−1; previous the state one step before, of t and that
    direction:
        a = exp(tau[t] * Z);  z = tau[t] * Z;  g = x + rows[t]
        sums[0] += tau[t] * conj(a * previous + (a − φ₁(z)) * w[t]) * g
        sums[1] += real(conj(z * a * (previous + w[t])) * g)
        rows[t] = conj(a − 1) * g;  x = conj(a) * g
    """
    _adjoint(v, rows, column, states, before, w, Z, tau, x, sums, backwards, held=True)


@emitted
def adjoint_impulses(
    v: Vectors, rows: Matrix, column: Any, states: Matrix, before: Matrix, w: Matrix, Z: Matrix, tau: Matrix,
    x: Matrix, sums: Matrix, backwards: Any,
) -> None:  # fmt: skip
    """The vjp of `scan_impulses`: the same with w = 0, and rows[t] = g."""
    _adjoint(v, rows, column, states, before, w, Z, tau, x, sums, backwards, held=False)
