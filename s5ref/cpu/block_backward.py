"""A sequence layer tile by tile, backward: the vjp of `s5ref.cpu.block_forward`, in the same items and spans,
from the last to the first.

Down, from the last tile to the first: gate, GELU, readout; then the adjoint of the scan; then up: projection
and the sums that the norm needs. What forward did not leave is computed again from x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from s5ref.cpu.block_forward import (
    BIAS,
    CARRY,
    FACTOR,
    GATE,
    MEAN,
    PROJECT,
    RSTD,
    SKIP,
    STAGES,
    carry_over,
    project,
    scan,
    span_of,
)
from s5ref.cpu.compile import compiled, inner, spliced
from s5ref.cpu.gemm import product, product_plus
from s5ref.cpu.recurrence import correlate, scan_rows
from s5ref.cpu.room import Parts
from s5ref.cpu.stages import all_done, done, take
from s5ref.cpu.tile import (
    clear,
    copy,
    gate_vjp,
    gelu_and_slope,
    normalise,
    plus,
    rows_of_tile,
    through_gelu,
    through_norm,
    through_skip,
    times_row,
    times_row_twice,
    total,
)


class Transposed(NamedTuple):
    """conj Λ̄ (2P') and the transposed weights of a `Layer`: B (2P', H), C (H, S), W (H, H)."""

    a: Any
    B: Any
    C: Any
    W: Any


@inner
def down(x, layer, back, masks, states, y, z, dout, dx, dstates, tiles, parts):  # type: ignore[no-untyped-def]
    """From dout to dstates, the cotangent of the states by the readout, and D ∘ dy, left in dx. The first
    tile's u stays.
    """
    v, constants = layer.vectors, layer.constants
    size = rows_of_tile(x.shape[0])
    count = -(-x.shape[0] // size)
    for i in range(count):
        t = (count - 1 - i) * size
        rows, states_t = x[t : t + size], states[t : t + size]
        T = rows.shape[0]
        U, G, P, dH = tiles[0, :T], tiles[1, :T], tiles[4, :T], tiles[5, :T]
        dZ, dG = tiles[6, :T], tiles[7, :T]
        Y = y[t : t + T] if y.shape[0] else tiles[2, :T]
        Z = z[t : t + T] if z.shape[0] else tiles[3, :T]
        normalise((v[MEAN], v[FACTOR], v[BIAS]), (rows,), (U,), ())
        if not y.shape[0]:
            times_row((v[SKIP],), (U,), (Y,), ())
            product_plus(states_t, layer.C, Y, Y)
        gelu_and_slope(Y.reshape(-1), constants, G.reshape(-1), P.reshape(-1))
        if layer.dropout:
            times_row_twice((masks[0],), (G, P), (G, P), ())
        times_row((masks[1],), (dout[t : t + T] if dout.shape[0] > 1 else dout,), (dG,), ())
        if not z.shape[0]:
            product_plus(G, layer.W, v[GATE : GATE + 1], Z)
        h = Y if layer.on_y else G
        gate_vjp(dG.reshape(-1), h.reshape(-1), Z.reshape(-1), constants[3], dH.reshape(-1), dZ.reshape(-1))
        total((), (dZ,), (), (parts.rows[0],))
        product_plus(G.T, dZ, parts.W, parts.W)
        product(dZ, back.W, dG)
        through_gelu(dH.reshape(-1), dG.reshape(-1), P.reshape(-1), layer.on_y, dZ.reshape(-1))
        through_skip((v[SKIP],), (dZ, U), (dx[t : t + T],), (parts.rows[1],))
        product_plus(dZ.T, states_t, parts.C, parts.C)
        product(dZ, back.C, dstates[t : t + T])


@inner
def adjoint(a, dstates, carry):  # type: ignore[no-untyped-def]
    """The adjoint of `scan`, a its conj Λ̄: dstates ← d(B̄u) of each direction, the forward one retraced from
    its last row. carry (S): the cotangent that enters there; after, the one that leaves.
    """
    last = dstates.shape[0] - 1
    for column in range(0, dstates.shape[1], a.size):
        retraced = column == 0
        row, x = dstates[last if retraced else 0], carry[column : column + a.size]
        for p in range(a.size):
            row[column + p] += x[p]
            x[p] = 0
        scan_rows(dstates, column, a, x, retraced)
        for p in range(0, a.size, 2):
            re, im = x[p], x[p + 1]
            x[p] = a[p] * re - a[p + 1] * im
            x[p + 1] = a[p] * im + a[p + 1] * re


@inner
def along_a(dstates, states, t, start, sums):  # type: ignore[no-untyped-def]
    """sums of `correlate` between d(B̄u) of steps t, t + 1 … and the states one step before, of every
    direction; states are those of the whole item, which began from ``start``.
    """
    T, size = dstates.shape[0], sums.shape[1]
    first = start.reshape(1, -1)
    for column in range(0, dstates.shape[1], size):
        if column > 0:  # two directions: t is 0, and the item ends with T
            correlate(dstates[: T - 1], states[1:], column, sums)
            correlate(dstates[T - 1 :], first, column, sums)
        elif t > 0:
            correlate(dstates, states[t - 1 : t - 1 + T], column, sums)
        else:
            correlate(dstates[1:], states[: T - 1], column, sums)
            correlate(dstates[:1], first, column, sums)


@inner
def up(x, layer, back, dx, dstates, tiles, dBu, parts, fresh):  # type: ignore[no-untyped-def]
    """From d(B̄u) to du, left in dx, and the sums Σ du and Σ du x̂. ``fresh``: as of `readout`."""
    v, one_way = layer.vectors, dstates.shape[1] == layer.B.shape[1]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, tile = x[t : t + size], dstates[t : t + size]
        T = rows.shape[0]
        U, dU = tiles[0, :T], tiles[1, :T]
        d = tile if one_way else dBu[:T]
        if not one_way:
            plus((), (tile[:, : d.shape[1]], tile[:, d.shape[1] :]), (d,), ())
        if not fresh:
            normalise((v[MEAN], v[FACTOR], v[BIAS]), (rows,), (U,), ())
        product_plus(U.T, d, parts.B, parts.B)
        product(d, back.B, dU)
        du = dx[t : t + T]
        through_norm((v[MEAN], v[RSTD]), (rows, du, dU), (du,), (parts.rows[2], parts.rows[3]))


@spliced
def _item(  # type: ignore[no-untyped-def]
    item, stage, room, bounds, x, layer, back, masks, starts, states, kept, y, z,
    dout, dx, dstates, carries, ends, da, part,
):  # fmt: skip
    chunks, tiles, carry = bounds.size - 1, room.tiles, room.carry
    n, c = item // chunks, item % chunks
    first, last = bounds[c], bounds[c + 1]
    descends = stage == PROJECT or chunks == 1
    rows = room.states[: last - first]
    if states.shape[0]:
        rows = states[n, first - bounds[0] : last - bounds[0]]
    if descends and not kept:
        copy((), (starts[n, c],), (carry,), ())
        project(x[n, first:last], layer, rows, tiles[0], room.Bu)
        scan(layer.a, rows, carry)
    clear(da[item].reshape(-1))
    if stage == PROJECT:
        clear(carry)
    else:
        copy((), (carries[n, c],), (carry,), ())
    span = span_of(layer, last - first)
    for i in range(-(-(last - first) // span)):
        t = (last - first - 1) // span * span - i * span
        at, to = first + t, min(first + t + span, last)
        xs, dxs, some = x[n, at:to], dx[n, at:to], rows[t : t + to - at]
        drows = room.dstates[: to - at]
        if dstates.shape[0]:
            drows = dstates[n, at - bounds[0] : to - bounds[0]]
        if descends:
            Y = y[n, at:to] if y.shape[0] else tiles[2, :0]
            Z = z[n, at:to] if z.shape[0] else tiles[3, :0]
            dys = dout[n, at:to] if dout.shape[1] == x.shape[1] else dout[n]
            down(xs, layer, back, masks[n], some, Y, Z, dys, dxs, drows, tiles, part)
        if stage == PROJECT:
            again = room.dstates[: to - at]  # they stay for the right carry
            copy((), (drows,), (again,), ())
            adjoint(back.a, again, carry)
        else:
            adjoint(back.a, drows, carry)
            along_a(drows, rows, t, starts[n, c], da[item])
            fresh = descends and to - at <= tiles.shape[1]
            up(xs, layer, back, dxs, drows, tiles, room.Bu, part, fresh)
    copy((), (carry,), (ends[n, c],), ())


@compiled
def backward(  # type: ignore[no-untyped-def]
    progress, room, bounds, x, layer, back, masks, starts, powers, states, kept, y, z,
    dout, dx, dstates, carries, ends, da, parts,
):  # fmt: skip
    """The items of a wave, in groups, whose sums are added up in their order. Where a sequence is more than
    one chunk, in three stages: down, and what leaves every chunk's adjoint started from zero; the cotangent
    that enters every chunk; adjoint and up. Else in the last.

    ``kept``: states hold what forward left; else they, or scratch where there are none, are computed again.
    room: s5ref.cpu.room.Room. powers (chunks, 2P'): conj Λ̄^steps. dout (N, L, H), or (N, 1, H) where every
    step has the same. da (items, 2, 2P'): see `along_a`.
    """
    groups, items = parts.B.shape[0], len(da)
    for stage in STAGES:
        job = take(progress, stage)
        while job >= 0:
            if stage == CARRY:
                carry_over(carries[job], ends[job], powers, True)
            else:
                part = Parts(parts.B[job], parts.C[job], parts.W[job], parts.rows[job])
                for item in range(items * job // groups, items * (job + 1) // groups):
                    _item(
                        item, stage, room, bounds, x, layer, back, masks, starts, states, kept, y, z,
                        dout, dx, dstates, carries, ends, da, part,
                    )  # fmt: skip
            done(progress, stage)
            job = take(progress, stage)
        all_done(progress, stage)
