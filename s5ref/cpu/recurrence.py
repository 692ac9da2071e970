"""The recurrence over the rows of a tile, in place, for Λ̄ constant in time, and the sums of its vjp.

Rows hold complex numbers as pairs; ``column`` is where the direction's part of a row begins. Up to four
vectors of states stay in registers while the rows go by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import types

from s5ref.cpu.compile import inner
from s5ref.cpu.vectors import I64, SIZES, Matrix, Vectors, intrinsic


@inner
def scan_rows(rows, column, a, x, backwards):  # type: ignore[no-untyped-def]
    """x ← a x + row, row ← x, from the first row to the last or backwards; x (2P') before and after."""
    _scan(rows, column, a, x, backwards)


@inner
def correlate(g, x, column, sums):  # type: ignore[no-untyped-def]
    """sums (2, 2P') gain Σ g ∘ x and Σ g ∘ (x with real and imaginary parts exchanged) over rows: what
    Σ g conj(x) is made of, see `s5ref.cpu.weights.correlation`.
    """
    _correlate(g, x, column, sums)


@intrinsic
def _scan(_typing, rows, column, a, x, backwards):  # type: ignore[no-untyped-def]
    def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
        rows = Matrix(context, bd, signature.args[0], args[0])
        a, x = (Matrix(context, bd, signature.args[i], args[i]) for i in (2, 3))
        v, column, backwards = Vectors(bd, signature.args[0].dtype), args[1], args[4]
        start = bd.select(backwards, rows.at(bd.sub(rows.height, I64(1))), rows.at(I64(0)))
        start = bd.gep(start, [column])
        stride = bd.select(backwards, bd.neg(rows.row), rows.row)

        def columns(j: Any, vectors: int, mask: Any) -> None:
            factors = [v.load(p, mask) for p in v.places(a.at(I64(0), j), vectors)]
            real = [v.doubled(f, False) for f in factors]
            imaginary = [v.alternating(v.doubled(f, True)) for f in factors]

            def step(k: Any, states: Sequence[Any]) -> list[Any]:
                places = v.places(bd.gep(start, [bd.add(bd.mul(k, stride), j)]), vectors)
                after = [
                    v.fma(re, s, v.fma(im, v.neighbours(s), v.load(place, mask)))
                    for re, im, s, place in zip(real, imaginary, states, places, strict=True)
                ]
                for s, place in zip(after, places, strict=True):
                    v.store(s, place, mask)
                return after

            carries = v.places(x.at(I64(0), j), vectors)
            states = v.loop(rows.height, [v.load(p, mask) for p in carries], step)
            for s, p in zip(states, carries, strict=True):
                v.store(s, p, mask)

        v.columns(a.width, SIZES, columns)
        return context.get_dummy_value()

    return types.void(rows, column, a, x, backwards), codegen


@intrinsic
def _correlate(_typing, g, x, column, sums):  # type: ignore[no-untyped-def]
    def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
        g, x, sums = (Matrix(context, bd, signature.args[i], args[i]) for i in (0, 1, 3))
        v, column = Vectors(bd, signature.args[0].dtype), args[2]

        def columns(j: Any, vectors: int, mask: Any) -> None:
            at = bd.add(column, j)

            def step(k: Any, totals: Sequence[Any]) -> list[Any]:
                G, X = ([v.load(p, mask) for p in v.places(m.at(k, at), vectors)] for m in (g, x))
                pairs = list(zip(G, X, strict=True)) + [
                    (a, v.neighbours(b)) for a, b in zip(G, X, strict=True)
                ]
                return [v.fma(a, b, t) for (a, b), t in zip(pairs, totals, strict=True)]

            totals = v.loop(g.height, [v.zero] * (2 * vectors), step)
            places = [p for row in (0, 1) for p in v.places(sums.at(I64(row), j), vectors)]
            for total, p in zip(totals, places, strict=True):
                v.store(bd.fadd(v.load(p, mask), total), p, mask)

        v.columns(sums.width, SIZES, columns)
        return context.get_dummy_value()

    return types.void(g, x, column, sums), codegen
