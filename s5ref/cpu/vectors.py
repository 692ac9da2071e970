"""Vectors in registers, for the loops that LLVM finds no good vectors for: products of tiles, recurrences,
and what goes over short rows.

Each element sees the same operations in the same order whatever the width of the vectors, so its bits do not
depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import binding as llvm
from llvmlite import ir

intrinsic: Any = numba.extending.intrinsic
cgutils: Any = numba.core.cgutils
config: Any = numba.core.config
I64, I32 = ir.IntType(64), ir.IntType(32)


def _registers() -> tuple[int, int]:
    """The bytes of a vector, and how many of them a row of a block may have, whose six rows are in registers:
    of 32, or of AVX2's 16.
    """
    features = (config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()).split(",")
    if "+avx512f" in features:
        return 64, 4
    return (32, 2) if "+avx2" in features else (16, 4)


BYTES, WIDE = _registers()
SIZES = (4, 2, 1)  # vectors of columns that are worked on at once, where few registers are needed


class Vectors:
    """Builds code on vectors of ``real`` (float32 or float64) where a builder stands."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder, self.size = builder, real.bitwidth // 8
        self.lanes = BYTES // self.size
        self.real: Any = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.real, self.lanes)
        self.zero = ir.Constant(self.type, None)
        self._name = f"v{self.lanes}f{8 * self.size}"

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        return self._call(f"llvm.fma.{self._name}", self.type, [a, b, c])

    def splat(self, value: Any) -> Any:
        """A scalar in every lane."""
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), value, I32(0))
        return self._shuffled(one, [0] * self.lanes)

    def neighbours(self, v: Any) -> Any:
        """v₁ v₀ v₃ v₂ …: of complex numbers as pairs, the imaginary parts where the real ones were."""
        return self._shuffled(v, [i ^ 1 for i in range(self.lanes)])

    def doubled(self, v: Any, odd: bool) -> Any:
        """v₀ v₀ v₂ v₂ …, or v₁ v₁ v₃ v₃ …"""
        return self._shuffled(v, [i & ~1 | odd for i in range(self.lanes)])

    def alternating(self, v: Any) -> Any:
        """−v₀ v₁ −v₂ v₃ …"""
        signs = [ir.Constant(self.real, 1.0 if i % 2 else -1.0) for i in range(self.lanes)]
        return self.builder.fmul(v, ir.Constant(self.type, signs))

    def places(self, pointer: Any, vectors: int) -> list[Any]:
        """Where the vectors begin that lie behind each other from a pointer on."""
        return [self.builder.gep(pointer, [I64(i * self.lanes)]) for i in range(vectors)]

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """The vector that begins at a pointer to ``real``; lanes that the mask leaves out are 0."""
        place = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self.size)
        args = [place, I32(self.size), mask, self.zero]
        return self._call(f"llvm.masked.load.{self._name}.p0", self.type, args)

    def store(self, v: Any, pointer: Any, mask: Any = None) -> None:
        """Those lanes of ``v`` that the mask does not leave out."""
        place = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            self.builder.store(v, place, align=self.size)
        else:
            args = [v, place, I32(self.size), mask]
            self._call(f"llvm.masked.store.{self._name}.p0", ir.VoidType(), args)

    def first(self, count: Any) -> Any:
        """The mask of the first ``count`` lanes."""
        lanes = ir.Constant(ir.VectorType(I64, self.lanes), [I64(i) for i in range(self.lanes)])
        one = self.builder.insert_element(ir.Constant(lanes.type, ir.Undefined), count, I32(0))
        return self.builder.icmp_signed("<", lanes, self._shuffled(one, [0] * self.lanes))

    def loop(
        self, count: Any, values: Sequence[Any], body: Callable[[Any, Sequence[Any]], Sequence[Any]]
    ) -> list[Any]:
        """What ``values`` are after body(k, values) for k = 0 … count−1."""
        bd = self.builder
        before = bd.block
        head, inside, done = (bd.append_basic_block(name) for name in ("head", "inside", "done"))
        bd.branch(head)
        bd.position_at_end(head)
        k, *carried = phis = [bd.phi(v.type) for v in [count, *values]]
        bd.cbranch(bd.icmp_signed("<", k, count), inside, done)
        bd.position_at_end(inside)
        after = [*body(k, carried)]
        after = [bd.add(k, I64(1)), *after]
        for phi, first, following in zip(phis, [I64(0), *values], after, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, bd.block)
        bd.branch(head)
        bd.position_at_end(done)
        return carried

    def columns(self, width: Any, sizes: Sequence[int], body: Callable[[Any, int, Any], None]) -> None:
        """body(j, vectors, mask) for blocks of columns from j on, each of as many vectors as fit; the last of
        the sizes is 1, which has a mask.
        """
        bd, at = self.builder, I64(0)
        for vectors in sizes:
            wide = I64(vectors * self.lanes)

            def block(_k: Any, values: Sequence[Any], vectors: int = vectors, wide: Any = wide) -> list[Any]:
                (j,) = values
                body(j, vectors, self.first(bd.sub(width, j)) if vectors == 1 else None)
                return [bd.add(j, wide)]

            left = bd.sub(width, at)
            reach = bd.add(left, I64(self.lanes - 1)) if vectors == 1 else left
            (at,) = self.loop(bd.sdiv(reach, wide), [at], block)

    def _shuffled(self, v: Any, lanes: Sequence[int]) -> Any:
        index = ir.Constant(ir.VectorType(I32, self.lanes), [I32(i) for i in lanes])
        return self.builder.shuffle_vector(v, ir.Constant(v.type, ir.Undefined), index)

    def _call(self, name: str, result: Any, args: Sequence[Any]) -> Any:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)


class Matrix:
    """An array (height, width) or (width) of compiled code: strides in elements, 0 from row to row where it
    has only one.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        shape, strides = (cgutils.unpack_tuple(builder, packed) for packed in (array.shape, array.strides))
        size = I64(kind.dtype.bitwidth // 8)
        *above, self.column = (builder.sdiv(stride, size) for stride in strides)
        *heights, self.width = shape
        self.height, self.row = I64(1), I64(0)
        if heights:
            self.height = heights[0]
            one = builder.icmp_signed("==", self.height, I64(1))
            self.row = builder.select(one, I64(0), above[0])

    @classmethod
    def each(cls, context: Any, builder: Any, kinds: Any, packed: Any) -> list[Matrix]:
        """The arrays of a tuple."""
        arrays = cgutils.unpack_tuple(builder, packed) if len(kinds) else []
        return [cls(context, builder, kind, array) for kind, array in zip(kinds, arrays, strict=True)]

    def at(self, row: Any, column: Any = None) -> Any:
        """Where a row begins, or its part from a column on, whose neighbours lie next to it."""
        start = self.builder.gep(self.data, [self.builder.mul(row, self.row)])
        return start if column is None else self.builder.gep(start, [column])
