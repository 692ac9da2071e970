"""Passes over the rows of a tile, written as what happens to one element; their sums stay in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types

from s5ref.cpu.vectors import I64, SIZES, Matrix, Vectors, intrinsic


class Lanes:
    """A vector with the arithmetic of its elements."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))


def over_rows(body: Callable[..., tuple[Lanes, ...]]) -> Any:
    """A function f(rows, given, out, sums) for compiled code: tuples of arrays, rows and sums (H), given and
    out (T, H).

    body(*rows, *given), called for every row of what is given, returns what is written to the same row of
    ``out``, and then what is added up over rows, and in the end to ``sums``. An array of one row stands for T
    equal ones. What is written may be what is given.
    """

    @intrinsic
    def across(_typing, rows, given, out, sums):  # type: ignore[no-untyped-def]
        def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
            groups = zip(signature.args, args, strict=True)
            rows, given, out, sums = (Matrix.each(context, bd, *group) for group in groups)
            v = Vectors(bd, next(kind.dtype for kinds in signature.args for kind in kinds))
            of_tile = [*out, *given][0]

            def columns(j: Any, vectors: int, mask: Any) -> None:
                def loaded(arrays: Sequence[Matrix], k: Any) -> list[list[Lanes]]:
                    places = [v.places(array.at(k, j), vectors) for array in arrays]
                    return [[Lanes(bd, v.load(p[i], mask)) for p in places] for i in range(vectors)]

                fixed = loaded(rows, I64(0))

                def step(k: Any, totals: Sequence[Any]) -> list[Any]:
                    pairs = zip(fixed, loaded(given, k), strict=True)
                    found = [[lanes.value for lanes in body(*held, *read)] for held, read in pairs]
                    for i, array in enumerate(out):
                        for values, p in zip(found, v.places(array.at(k, j), vectors), strict=True):
                            v.store(values[i], p, mask)
                    more = [values[len(out) + s] for s in range(len(sums)) for values in found]
                    return [bd.fadd(t, m) for t, m in zip(totals, more, strict=True)]

                totals = v.loop(of_tile.height, [v.zero] * (len(sums) * vectors), step)
                places = [p for array in sums for p in v.places(array.at(I64(0), j), vectors)]
                for total, p in zip(totals, places, strict=True):
                    v.store(bd.fadd(v.load(p, mask), total), p, mask)

            v.columns(of_tile.width, SIZES, columns)
            return context.get_dummy_value()

        return types.void(rows, given, out, sums), codegen

    return across
