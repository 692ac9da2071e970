"""All LLVM IR of this package: loops for which Numba's own code is several times slower, as vectors in
registers.

    tile_product, tile_product_plus    products of tiles
    scan_rows, correlate_rows          the recurrence over the rows of a tile, and the sums of its vjp
    standardise_rows, …_vjp_rows       LayerNorm of rows without its scale and bias, and its vjp
    reduce_responses                   filters of one state, and what their responses are reduced to
    part, column_part                  parts of arrays
    row_pass                           makes a pass over rows from what it does to one element
    fetch_add, load_acquire, give_way  not loops: what threads need of each other, see `s5ref.cpu.scheduler`

The plain loop that each one equals stands in its docstring, and the tests compare the two. Each element
sees the same operations in the same order whatever the width of the vectors, so its bits do not depend on
the processor.

Matrices are (rows, columns) with any distance between rows; the columns of all but the first factor of a
product lie next to each other. Vectors are (columns). The emitted function works on pointers and strides:
one in a compiled module, whatever the layout of the arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial, reduce
from inspect import Parameter, Signature, signature
from itertools import islice
from typing import Any, TypeAlias

import numba
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import imputils

from s5ref.nn.norm import LAYER_NORM_EPS

intrinsic: Any = numba.extending.intrinsic
borrowed: Any = imputils.impl_ret_borrowed  # counts a reference where they are counted
I64, I32, I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)


def _registers() -> tuple[int, int]:
    """The bytes of a vector, and how many of them a row of a product's block may have, so that its six
    rows fit into the registers: 32 of them, or AVX2's 16.
    """
    config: Any = numba.config
    features = (config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()).split(",")
    if "+avx512f" in features:
        return 64, 4
    return (32, 2) if "+avx2" in features else (16, 4)


BYTES, WIDE = _registers()
ROWS = 6  # of a block of a product
FOLD = 16  # numbers that a sum over the columns of a row is taken in, whatever the width of the vectors
SIZES = (4, 2, 1)  # vectors of columns that are worked on at once, where few registers are needed


class Vectors:
    """Writes code on vectors of float32 or float64 where ``builder`` stands."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.builder, self.size = builder, dtype.bitwidth // 8
        self.lanes = BYTES // self.size
        self.real: Any = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.real, self.lanes)
        self.zero = ir.Constant(self.type, None)
        self.name = f"v{self.lanes}f{8 * self.size}"

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        return self._call(f"llvm.fma.{self.name}", self.type, [a, b, c])

    def splat(self, value: Any) -> Any:
        """A scalar in every lane."""
        vector = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        return self._shuffled(self.builder.insert_element(vector, value, I32(0)), [0] * self.lanes)

    def swap_pairs(self, v: Any) -> Any:
        """v₁ v₀ v₃ v₂ …: of complex numbers as pairs, real and imaginary parts exchanged."""
        return self._shuffled(v, [i ^ 1 for i in range(self.lanes)])

    def double(self, v: Any, odd: bool) -> Any:
        """v₀ v₀ v₂ v₂ …, or v₁ v₁ v₃ v₃ …"""
        return self._shuffled(v, [i & ~1 | odd for i in range(self.lanes)])

    def alternate_signs(self, v: Any) -> Any:
        """−v₀ v₁ −v₂ v₃ …"""
        signs = [ir.Constant(self.real, 1.0 if i % 2 else -1.0) for i in range(self.lanes)]
        return self.builder.fmul(v, ir.Constant(self.type, signs))

    def pointers(self, start: Any, vectors: int) -> list[Any]:
        """Pointers to consecutive vectors, the first at ``start``."""
        return [self.builder.gep(start, [I64(i * self.lanes)]) for i in range(vectors)]

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """The vector at a pointer; lanes that the mask leaves out are 0."""
        place = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self.size)
        return self._call(
            f"llvm.masked.load.{self.name}.p0", self.type, [place, I32(self.size), mask, self.zero]
        )

    def store(self, v: Any, pointer: Any, mask: Any = None) -> None:
        """Those lanes of ``v`` that the mask does not leave out."""
        place = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            self.builder.store(v, place, align=self.size)
        else:
            arguments = [v, place, I32(self.size), mask]
            self._call(f"llvm.masked.store.{self.name}.p0", ir.VoidType(), arguments)

    def first(self, number: Any) -> Any:
        """The mask of the first ``number`` lanes."""
        lanes = ir.Constant(ir.VectorType(I64, self.lanes), [I64(i) for i in range(self.lanes)])
        return self.builder.icmp_signed("<", lanes, self.splat(number))

    def loop(
        self, number: Any, values: Sequence[Any], body: Callable[[Any, Sequence[Any]], Sequence[Any]]
    ) -> list[Any]:
        """What ``values`` are after body(k, values) for k = 0 … number−1."""
        builder = self.builder
        before = builder.block
        head, inside, done = (builder.append_basic_block(name) for name in ("head", "inside", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        k, *carried = phis = [builder.phi(v.type) for v in [number, *values]]
        builder.cbranch(builder.icmp_signed("<", k, number), inside, done)
        builder.position_at_end(inside)
        after = [*body(k, carried)]
        after = [builder.add(k, I64(1)), *after]
        for phi, first, following in zip(phis, [I64(0), *values], after, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return carried

    def columns(self, width: Any, sizes: Sequence[int], body: Callable[[Any, int, Any], None]) -> None:
        """body(j, vectors, mask) for blocks of columns from j on, each of as many vectors as fit; the last
        of the sizes is 1, which has a mask.
        """
        builder, at = self.builder, I64(0)
        for vectors in sizes:
            wide = I64(vectors * self.lanes)

            def block(_k: Any, values: Sequence[Any], vectors: int = vectors, wide: Any = wide) -> list[Any]:
                (j,) = values
                body(j, vectors, self.first(builder.sub(width, j)) if vectors == 1 else None)
                return [builder.add(j, wide)]

            left = builder.sub(width, at)
            reach = builder.add(left, I64(self.lanes - 1)) if vectors == 1 else left
            (at,) = self.loop(builder.sdiv(reach, wide), [at], block)

    def row_mean(self, width: Any, term: Callable[[Any, Any], Any]) -> Any:
        """The mean of the vectors term(j, mask) over the columns of a row, in every lane: FOLD sums, that of
        column j in number j mod FOLD, whose halves are then added until one is left.
        """
        builder, vectors = self.builder, FOLD // self.lanes

        def block(k: Any, sums: Sequence[Any]) -> list[Any]:
            at = builder.mul(k, I64(FOLD))
            columns = [builder.add(at, I64(i * self.lanes)) for i in range(vectors)]
            terms = [term(j, self.first(builder.sub(width, j))) for j in columns]
            return [builder.fadd(s, t) for s, t in zip(sums, terms, strict=True)]

        number = builder.sdiv(builder.add(width, I64(FOLD - 1)), I64(FOLD))
        sums = self.loop(number, [self.zero] * vectors, block)
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [builder.fadd(a, b) for a, b in zip(sums[:half], sums[half:], strict=True)]
        [total], half = sums, self.lanes // 2
        while half:
            other = self._shuffled(total, [(i + half) % self.lanes for i in range(self.lanes)])
            total, half = builder.fadd(total, other), half // 2
        return builder.fdiv(total, self.splat(builder.sitofp(width, self.real)))

    def sqrt(self, v: Any) -> Any:
        return self._call(f"llvm.sqrt.{self.name}", self.type, [v])

    def _shuffled(self, v: Any, lanes: Sequence[int]) -> Any:
        index = ir.Constant(ir.VectorType(I32, self.lanes), [I32(i) for i in lanes])
        return self.builder.shuffle_vector(v, ir.Constant(v.type, ir.Undefined), index)

    def _call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        module = self.builder.module
        kind = ir.FunctionType(result, [a.type for a in arguments])
        return self.builder.call(module.globals.get(name) or ir.Function(module, kind, name), arguments)


class Matrix:
    """A matrix in emitted code: a pointer, its size, and its strides in elements. A vector is a matrix of one
    row; one row stands for as many equal ones as are asked for.
    """

    def __init__(self, builder: Any, *numbers: Any) -> None:
        self.builder, self.numbers = builder, numbers
        self.data, self.height, self.width, self.row, self.column = numbers

    @classmethod
    def of(cls, context: Any, builder: Any, kind: Any, value: Any) -> Matrix:
        """A Numba array (rows, columns) or (columns)."""
        array = context.make_array(kind)(context, builder, value)
        size = I64(kind.dtype.bitwidth // 8)
        height, row = I64(1), I64(0)
        if kind.ndim == 2:
            height = builder.extract_value(array.shape, 0)
            above = builder.sdiv(builder.extract_value(array.strides, 0), size)
            row = builder.select(builder.icmp_signed("==", height, I64(1)), I64(0), above)
        width, stride = (builder.extract_value(x, kind.ndim - 1) for x in (array.shape, array.strides))
        return cls(builder, array.data, height, width, row, builder.sdiv(stride, size))

    def at(self, row: Any, column: Any = None) -> Any:
        """A pointer to where a row begins, or its part from a column on."""
        start = self.builder.gep(self.data, [self.builder.mul(row, self.row)])
        return start if column is None else self.builder.gep(start, [column])


def emitted(emit: Callable[..., None]) -> Any:
    """``emit(v, *parameters)``, which writes the body of a function with `Vectors` v, as that function for
    compiled code. Arrays arrive as `Matrix`, integers as they are. The function is written once in a
    module, and never inlined.
    """

    def definition(_typing: Any, *kinds: Any) -> Any:
        arrays = [kind for kind in kinds if isinstance(kind, types.Array)]
        if len({kind.dtype for kind in arrays}) != 1 or any(kind.ndim > 2 for kind in arrays):
            return None  # there is no such function: Numba says so

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            given = [
                Matrix.of(context, builder, kind, value) if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, arguments, strict=True)
            ]
            flat = [number for g in given for number in (g.numbers if isinstance(g, Matrix) else [g])]
            v = Vectors(None, arrays[0].dtype)
            name = f"s5ref.{emit.__name__}.{v.name}"
            function = builder.module.globals.get(name)
            if function is None:
                kind = ir.FunctionType(ir.VoidType(), [number.type for number in flat])
                function = ir.Function(builder.module, kind, name)
                function.linkage = "internal"
                function.attributes.add("noinline")
                v.builder = ir.IRBuilder(function.append_basic_block())
                rest = iter(function.args)
                emit(
                    v,
                    *(
                        Matrix(v.builder, *islice(rest, 5)) if isinstance(g, Matrix) else next(rest)
                        for g in given
                    ),
                )
                v.builder.ret_void()
            builder.call(function, flat)
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    # where Numba finds the names of the parameters; the first one stands for its typing context
    definition.__signature__ = signature(emit)  # type: ignore[attr-defined]
    definition.__name__, definition.__doc__ = emit.__name__, emit.__doc__
    return intrinsic(definition)


# --- Products of tiles. Every element is one chain of fused multiply-adds in the order of k, whatever the
# shape. A block of six rows and up to four vectors of columns stays in registers while k runs; nothing is
# packed or copied, since what a tile multiplies is in the cache already.


def _product(v: Vectors, a: Matrix, b: Matrix, plus: Matrix | None, out: Matrix) -> None:
    builder = v.builder

    def columns(j: Any, vectors: int, mask: Any) -> None:
        def block(i: Any, _values: Any) -> list[Any]:
            first, last = builder.mul(i, I64(ROWS)), builder.sub(out.height, I64(1))
            rows = [builder.add(first, I64(r)) for r in range(ROWS)]
            # a row that there is not is the last one again: it is computed and written to the same bits
            rows = [builder.select(builder.icmp_signed("<", r, last), r, last) for r in rows]
            starts = [a.at(r) for r in rows]

            def step(k: Any, sums: Sequence[Any]) -> list[Any]:
                across = [v.load(p, mask) for p in v.pointers(b.at(k, j), vectors)]
                factors = [v.splat(builder.load(builder.gep(p, [builder.mul(k, a.column)]))) for p in starts]
                return [v.fma(factors[i // vectors], across[i % vectors], s) for i, s in enumerate(sums)]

            sums = v.loop(b.height, [v.zero] * (ROWS * vectors), step)
            if plus is not None:
                more = [v.load(p, mask) for r in rows for p in v.pointers(plus.at(r, j), vectors)]
                sums = [builder.fadd(s, m) for s, m in zip(sums, more, strict=True)]
            for s, p in zip(sums, [p for r in rows for p in v.pointers(out.at(r, j), vectors)], strict=True):
                v.store(s, p, mask)
            return []

        v.loop(builder.sdiv(builder.add(out.height, I64(ROWS - 1)), I64(ROWS)), [], block)

    v.columns(out.width, tuple(range(WIDE, 0, -1)), columns)


@emitted
def tile_product(v: Vectors, a: Matrix, b: Matrix, out: Matrix) -> None:
    """out = a b. a (M, K) with any strides, b (K, N), out (M, N).

    for i, j: out[i, j] = sum of a[i, k] * b[k, j] over k = 0 … K−1, from 0, with fused multiply-adds
    """
    _product(v, a, b, None, out)


@emitted
def tile_product_plus(v: Vectors, a: Matrix, b: Matrix, c: Matrix, out: Matrix) -> None:
    """out = a b + c: the same, and c added last. c (M, N), which may be out itself; or (1, N), added to
    every row.
    """
    _product(v, a, b, c, out)


# --- The recurrence over the rows of a tile for Λ̄ constant in time, and the sums of its vjp. Rows hold
# complex numbers as pairs; ``column`` is where the direction's part of a row begins. Up to four vectors of
# states stay in registers while the rows go by.


@emitted
def scan_rows(v: Vectors, rows: Matrix, column: Any, a: Matrix, x: Matrix, backwards: Any) -> None:
    """x ← a x + row, row ← x, in place. rows (T, …), a (2P') and x (2P'), the state before and after.

    for t = 0 … T−1, or T−1 … 0 where ``backwards``:
        x = a * x + rows[t, column : column + 2P']  # complex, as fma(Re a, x, fma(∓Im a, x exchanged, row))
        rows[t, column : column + 2P'] = x
    """
    builder = v.builder
    start = builder.select(backwards, rows.at(builder.sub(rows.height, I64(1))), rows.at(I64(0)))
    start = builder.gep(start, [column])
    stride = builder.select(backwards, builder.neg(rows.row), rows.row)

    def columns(j: Any, vectors: int, mask: Any) -> None:
        factors = [v.load(p, mask) for p in v.pointers(a.at(I64(0), j), vectors)]
        real = [v.double(f, False) for f in factors]
        imaginary = [v.alternate_signs(v.double(f, True)) for f in factors]

        def step(k: Any, states: Sequence[Any]) -> list[Any]:
            places = v.pointers(builder.gep(start, [builder.add(builder.mul(k, stride), j)]), vectors)
            after = [
                v.fma(re, s, v.fma(im, v.swap_pairs(s), v.load(place, mask)))
                for re, im, s, place in zip(real, imaginary, states, places, strict=True)
            ]
            for s, place in zip(after, places, strict=True):
                v.store(s, place, mask)
            return after

        carries = v.pointers(x.at(I64(0), j), vectors)
        states = v.loop(rows.height, [v.load(p, mask) for p in carries], step)
        for s, p in zip(states, carries, strict=True):
            v.store(s, p, mask)

    v.columns(a.width, SIZES, columns)


@emitted
def correlate_rows(v: Vectors, g: Matrix, x: Matrix, column: Any, sums: Matrix) -> None:
    """What Σ g conj(x) is made of, see `s5ref.cpu.weights.correlation`. g, x (T, …), sums (2, 2P').

    for t, p: sums[0, p] += g[t, column + p] * x[t, column + p]
              sums[1, p] += g[t, column + p] * x[t, column + (p ^ 1)]  # real and imaginary parts exchanged
    """
    builder = v.builder

    def columns(j: Any, vectors: int, mask: Any) -> None:
        at = builder.add(column, j)

        def step(k: Any, totals: Sequence[Any]) -> list[Any]:
            G, X = ([v.load(p, mask) for p in v.pointers(m.at(k, at), vectors)] for m in (g, x))
            pairs = list(zip(G, X, strict=True)) + [(a, v.swap_pairs(b)) for a, b in zip(G, X, strict=True)]
            return [v.fma(a, b, t) for (a, b), t in zip(pairs, totals, strict=True)]

        totals = v.loop(g.height, [v.zero] * (2 * vectors), step)
        places = [p for row in (0, 1) for p in v.pointers(sums.at(I64(row), j), vectors)]
        for total, p in zip(totals, places, strict=True):
            v.store(builder.fadd(v.load(p, mask), total), p, mask)

    v.columns(sums.width, SIZES, columns)


# --- LayerNorm without its scale and bias: every row by itself.


@emitted
def standardise_rows(v: Vectors, x: Matrix, xhat: Matrix, rstd: Matrix) -> None:
    """x̂ = (x − mean) rstd of every row, rstd = 1/√(variance + 1e-6). x, x̂ (T, H), rstd (T).

    for t: centred = x[t] - x[t].mean();  rstd[t] = 1 / sqrt((centred**2).mean() + 1e-6)
           xhat[t] = centred * rstd[t]
    """
    builder = v.builder
    one, floor = (ir.Constant(v.type, [number] * v.lanes) for number in (1.0, LAYER_NORM_EPS))

    def row(t: Any, _values: Any) -> Sequence[Any]:
        mean = v.row_mean(x.width, lambda j, mask: v.load(x.at(t, j), mask))

        def square(j: Any, mask: Any) -> Any:
            centred = builder.fsub(v.load(x.at(t, j), mask), mean)
            v.store(centred, xhat.at(t, j), mask)
            return builder.select(mask, builder.fmul(centred, centred), v.zero)

        factor = builder.fdiv(one, v.sqrt(builder.fadd(v.row_mean(x.width, square), floor)))
        builder.store(builder.extract_element(factor, I32(0)), rstd.at(I64(0), t))

        def scaled(j: Any, _vectors: int, mask: Any) -> None:
            v.store(builder.fmul(v.load(xhat.at(t, j), mask), factor), xhat.at(t, j), mask)

        v.columns(x.width, (1,), scaled)
        return ()

    v.loop(x.height, (), row)


@emitted
def standardise_vjp_rows(
    v: Vectors, dy: Matrix, scale: Matrix, xhat: Matrix, rstd: Matrix, skip: Matrix, dx: Matrix
) -> None:
    """dx from the cotangent dy of scale ∘ x̂ + bias, and skip added. dy, x̂, dx (T, H), dx may be dy; scale
    (H), rstd (T); skip (T, H), or one row for all.

    for t: g = scale * dy[t];  dx[t] = (g - g.mean() - xhat[t] * (g * xhat[t]).mean()) * rstd[t] + skip[t]
    """
    builder = v.builder

    def row(t: Any, _values: Any) -> Sequence[Any]:
        def g(j: Any, mask: Any) -> Any:
            return builder.fmul(v.load(scale.at(I64(0), j), mask), v.load(dy.at(t, j), mask))

        mean = v.row_mean(dy.width, g)
        along = v.row_mean(dy.width, lambda j, mask: builder.fmul(g(j, mask), v.load(xhat.at(t, j), mask)))
        factor = v.splat(builder.load(rstd.at(I64(0), t)))

        def of(j: Any, _vectors: int, mask: Any) -> None:
            through = builder.fmul(v.load(xhat.at(t, j), mask), along)
            centred = builder.fsub(builder.fsub(g(j, mask), mean), through)
            through_row = builder.fmul(centred, factor)
            v.store(builder.fadd(through_row, v.load(skip.at(t, j), mask)), dx.at(t, j), mask)

        v.columns(dy.width, (1,), of)
        return ()

    v.loop(dy.height, (), row)


# --- Filters of random features: a state-space model of one state a column, and what its output is over time.

THRESHOLDS = 3  # of a filter


@emitted
def reduce_responses(v: Vectors, u: Matrix, filters: Matrix, running: Matrix, backward: Any) -> None:
    """The responses of F filters to u (T, F), and what they are reduced to, in ``running`` (6 + 4 Q, F).

    filters (5 + Q, F) holds Re a, Im a, Re c, Im c, d and Q = 3 thresholds b.

    for f; for t = 0 … T−1, or T−1 … 0 where ``backward``:
        x = a x + before;  y = Re(c x) + d u[t, f];  before = u[t, f]                # running[0], [1]: x; [2]
        largest = max(y, largest);  smallest = min(y, smallest);  total += y         # [3], [4], [5]
        for each b: if y > b: steps += 1, run += 1, longest = max(run, longest), excess += y − b; else run = 0
                    # [6 + 4 q] steps, [7 + 4 q] run, [8 + 4 q] longest, [9 + 4 q] excess
    """
    builder = v.builder
    one = ir.Constant(v.type, [1.0] * v.lanes)
    start = builder.select(backward, u.at(builder.sub(u.height, I64(1))), u.at(I64(0)))
    stride = builder.select(backward, builder.neg(u.row), u.row)

    def larger(a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    def columns(j: Any, _vectors: int, mask: Any) -> None:
        rows = [filters.at(I64(i), j) for i in range(5 + THRESHOLDS)]
        a_re, a_im, c_re, c_im, d, *thresholds = (v.load(p, mask) for p in rows)

        def step(k: Any, values: Sequence[Any]) -> list[Any]:
            re, im, before, largest, smallest, total, *counts = values
            u_k = v.load(builder.gep(start, [builder.add(builder.mul(k, stride), j)]), mask)
            re, im = (
                v.fma(a_re, re, v.fma(builder.fneg(a_im), im, before)),
                v.fma(a_re, im, builder.fmul(a_im, re)),
            )
            y = v.fma(c_re, re, v.fma(builder.fneg(c_im), im, builder.fmul(d, u_k)))
            smallest = builder.select(builder.fcmp_ordered("<", y, smallest), y, smallest)
            after = [re, im, u_k, larger(y, largest), smallest, builder.fadd(total, y)]
            for q, b in enumerate(thresholds):
                steps, run, longest, excess = counts[4 * q : 4 * q + 4]
                above = builder.fcmp_ordered(">", y, b)
                run = builder.select(above, builder.fadd(run, one), v.zero)
                steps = builder.fadd(steps, builder.select(above, one, v.zero))
                excess = builder.fadd(excess, builder.select(above, builder.fsub(y, b), v.zero))
                after += [steps, run, larger(run, longest), excess]
            return after

        places = [running.at(I64(i), j) for i in range(6 + 4 * THRESHOLDS)]
        for value, p in zip(v.loop(u.height, [v.load(p, mask) for p in places], step), places, strict=True):
            v.store(value, p, mask)

    v.columns(u.width, (1,), columns)


# --- Passes over the rows of a tile, written as what happens to one element; their sums stay in registers.


class Lanes:
    """A vector of elements with their arithmetic."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))


# What the parameters of a pass are, and what `row_pass` puts in their place:
Tile: TypeAlias = Lanes  # (T, H), read; one row stands for T equal ones
InOut: TypeAlias = Lanes  # (T, H), read, and then written
Row: TypeAlias = Lanes  # (H), read: the same for all rows
Out: TypeAlias = None  # (T, H), written; it may be one of the tiles
Sum: TypeAlias = None  # (H): what is added up over rows is added to it at the end


def row_pass(element: Callable[..., Any]) -> Any:
    """A pass over rows for compiled code, with the parameters of ``element``, whose annotations are as above.

    ``element`` gets one number of everything that is read, and None for the rest. It returns what is written,
    and then what is added up, in the order of the parameters: one value, or a tuple.

    for h: total = 0
           for t = 0 … T−1: out[t, h], more = element(tile[t, h], row[h], …);  total += more
           sum[h] += total
    """
    parameters = list(signature(element).parameters.values())
    kinds = [parameter.annotation for parameter in parameters]
    written = [i for i, kind in enumerate(kinds) if kind in ("Out", "InOut")]
    summed = [i for i, kind in enumerate(kinds) if kind == "Sum"]
    shaped = written[0] if written else kinds.index("Tile")  # one that has T rows

    def emit(v: Vectors, *arrays: Matrix) -> None:
        builder, whole = v.builder, arrays[shaped]

        def loaded(array: Matrix, k: Any, j: Any, vectors: int, mask: Any) -> list[Lanes]:
            return [Lanes(builder, v.load(p, mask)) for p in v.pointers(array.at(k, j), vectors)]

        def columns(rows: Any, j: Any, vectors: int, mask: Any) -> None:
            """Of some of the rows, given as (first, number), the columns from j on."""
            nothing = [None] * vectors
            fixed = [
                loaded(a, I64(0), j, vectors, mask) if kind == "Row" else None
                for kind, a in zip(kinds, arrays, strict=True)
            ]
            first, number = rows

            def step(k: Any, totals: Sequence[Any]) -> list[Any]:
                k = builder.add(first, k)
                read = [
                    loaded(array, k, j, vectors, mask) if kind in ("Tile", "InOut") else row or nothing
                    for kind, array, row in zip(kinds, arrays, fixed, strict=True)
                ]
                results = [element(*elements) for elements in zip(*read, strict=True)]
                results = [r if isinstance(r, tuple) else (r,) for r in results]
                for place, i in enumerate(written):
                    for result, p in zip(results, v.pointers(arrays[i].at(k, j), vectors), strict=True):
                        v.store(result[place].value, p, mask)
                more = [r[len(written) + s].value for s in range(len(summed)) for r in results]
                return [builder.fadd(t, m) for t, m in zip(totals, more, strict=True)]

            totals = v.loop(number, [v.zero] * (len(summed) * vectors), step)
            places = [p for i in summed for p in v.pointers(arrays[i].at(I64(0), j), vectors)]
            for total, p in zip(totals, places, strict=True):
                v.store(builder.fadd(v.load(p, mask), total), p, mask)

        def one_row(k: Any, _values: Sequence[Any]) -> Sequence[Any]:
            v.columns(whole.width, SIZES, partial(columns, (k, I64(1))))
            return ()

        if summed:  # sums stay in registers while all rows go by
            v.columns(whole.width, SIZES, partial(columns, (I64(0), whole.height)))
        else:  # memory is read in its order
            v.loop(whole.height, (), one_row)

    emit.__name__, emit.__doc__ = element.__name__, element.__doc__
    first = Parameter("v", Parameter.POSITIONAL_OR_KEYWORD)
    emit.__signature__ = Signature([first, *parameters])  # type: ignore[attr-defined]
    return emitted(emit)


# --- Parts of an array. Numba's own slices ask whether either end is negative: much code in a kernel that
# has fifty of them.


def _part(axis: int) -> Any:
    def definition(_typing: Any, x: Any, start: Any, stop: Any) -> Any:
        kind = x if axis == 0 or x.ndim == 1 else x.copy(layout="A")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            whole = context.make_array(x)(context, builder, arguments[0])
            view = context.make_array(kind)(context, builder)
            start, stop = arguments[1:]
            size, stride = (builder.extract_value(v, axis % x.ndim) for v in (whole.shape, whole.strides))
            stop = builder.select(builder.icmp_signed("<", stop, size), stop, size)
            first = builder.gep(builder.bitcast(whole.data, I8.as_pointer()), [builder.mul(start, stride)])
            view.data = builder.bitcast(first, whole.data.type)
            view.shape = builder.insert_value(whole.shape, builder.sub(stop, start), axis % x.ndim)
            view.nitems = reduce(builder.mul, [builder.extract_value(view.shape, i) for i in range(x.ndim)])
            for name in ("meminfo", "parent", "itemsize", "strides"):
                setattr(view, name, getattr(whole, name))
            return borrowed(context, builder, kind, view._getvalue())

        return kind(x, types.int64, types.int64), codegen

    return intrinsic(definition)


part = _part(0)  # (x, start, stop): x[start:stop], 0 ≤ start, no further than x goes
column_part = _part(-1)  # (x, start, stop): x[..., start:stop], the same of the last axis


# --- What threads need of each other. Numba has no atomic operations on a CPU.


@intrinsic
def fetch_add(_typing, counters, row, column):  # type: ignore[no-untyped-def]
    """counters[row, column] += 1, of all threads one at a time; what it was. counters (…, …) int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = Matrix.of(context, builder, signature.args[0], arguments[0]).at(*arguments[1:])
        return builder.atomic_rmw("add", place, I64(1), "acq_rel")

    return types.int64(counters, row, column), codegen


@intrinsic
def load_acquire(_typing, counters, row, column):  # type: ignore[no-untyped-def]
    """counters[row, column] as it is now."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = Matrix.of(context, builder, signature.args[0], arguments[0]).at(*arguments[1:])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(counters, row, column), codegen


@intrinsic
def give_way(_typing):  # type: ignore[no-untyped-def]
    """Let another thread run that waits for this core."""

    def codegen(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(I32, [])
            module = builder.module
            builder.call(module.globals.get("sched_yield") or ir.Function(module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen
