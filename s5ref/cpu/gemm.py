"""Products of tiles: every element is one chain of fused multiply-adds in the order of k, whatever the shape.

A block of six rows and up to four vectors of columns stays in registers while k runs; nothing is packed or
copied, since what a tile multiplies is in the cache already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import types

from s5ref.cpu.compile import inner
from s5ref.cpu.vectors import I64, WIDE, Matrix, Vectors, intrinsic

ROWS = 6  # of a block: with WIDE vectors they fill the registers
SIZES = tuple(range(WIDE, 0, -1))


@inner
def product(a, b, out):  # type: ignore[no-untyped-def]
    """out = a b. a (M, K) with any strides; b (K, N) and out (M, N) with neighbouring columns."""
    _product(a, b, (), out)


@inner
def product_plus(a, b, c, out):  # type: ignore[no-untyped-def]
    """out = a b + c. c (M, N), which may be out itself; or (1, N), added to every row."""
    _product(a, b, (c,), out)


@intrinsic
def _product(_typing, a, b, plus, out):  # type: ignore[no-untyped-def]
    """out = a b, and what is in the tuple ``plus`` added last."""

    def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
        a, b, out = (Matrix(context, bd, signature.args[i], args[i]) for i in (0, 1, 3))
        plus = Matrix.each(context, bd, signature.args[2], args[2])
        v = Vectors(bd, signature.args[0].dtype)

        def columns(j: Any, vectors: int, mask: Any) -> None:
            def block(i: Any, _values: Any) -> list[Any]:
                first, last = bd.mul(i, I64(ROWS)), bd.sub(out.height, I64(1))
                row = [bd.add(first, I64(r)) for r in range(ROWS)]
                # a row that there is not is the last one again: it is computed and written to the same bits
                row = [bd.select(bd.icmp_signed("<", r, last), r, last) for r in row]
                starts = [a.at(r) for r in row]

                def step(k: Any, sums: Sequence[Any]) -> list[Any]:
                    across = [v.load(p, mask) for p in v.places(b.at(k, j), vectors)]
                    factors = [v.splat(bd.load(bd.gep(p, [bd.mul(k, a.column)]))) for p in starts]
                    return [v.fma(factors[i // vectors], across[i % vectors], s) for i, s in enumerate(sums)]

                sums = v.loop(b.height, [v.zero] * (ROWS * vectors), step)
                for c in plus:
                    more = [v.load(p, mask) for r in row for p in v.places(c.at(r, j), vectors)]
                    sums = [bd.fadd(s, m) for s, m in zip(sums, more, strict=True)]
                places = [p for r in row for p in v.places(out.at(r, j), vectors)]
                for s, p in zip(sums, places, strict=True):
                    v.store(s, p, mask)
                return []

            v.loop(bd.sdiv(bd.add(out.height, I64(ROWS - 1)), I64(ROWS)), [], block)

        v.columns(out.width, SIZES, columns)
        return context.get_dummy_value()

    return types.void(a, b, plus, out), codegen
