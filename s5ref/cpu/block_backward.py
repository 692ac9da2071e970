"""A sequence layer tile by tile, backward: the vjp of `s5ref.cpu.block_forward`, in the same items.

Down, from the last tile of an item to the first: gate, GELU, readout; then the adjoint of the scan; then up:
projection and the sums that the norm needs. What forward did not leave is computed again from x.
"""

from __future__ import annotations

import numpy as np

from s5ref.cpu.block_forward import BIAS, FACTOR, GATE, MEAN, PROJECT, RSTD, SKIP, project, scan
from s5ref.cpu.compile import compiled, inner
from s5ref.cpu.recurrence import adjoint_rows
from s5ref.cpu.room import Parts
from s5ref.cpu.tile import (
    add_and_sum,
    add_product,
    add_row,
    add_rows,
    copy_rows,
    gate_vjp,
    gelu_and_slope,
    normalise,
    product,
    rows_of_tile,
    scale_columns,
    sum_of_both,
    sum_rows,
    through_gelu,
    through_skip,
)


@inner
def down(x, layer, masks, states, y, z, dout, dx, dstates, tiles, products, parts):  # type: ignore[no-untyped-def]
    """From dout to dstates, the cotangent of the states by the readout, and D ∘ dy, left in dx."""
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
        normalise(rows, v[MEAN], v[FACTOR], v[BIAS], U)
        if not y.shape[0]:
            product(states_t, layer.C, Y)
            add_product(Y, U, v[SKIP])
        gelu_and_slope(Y.reshape(-1), constants, G.reshape(-1), P.reshape(-1))
        copy_rows(dout[t : t + T] if dout.shape[0] > 1 else dout, dG)
        if layer.dropout:
            scale_columns(G, masks[0])
            scale_columns(P, masks[0])
            scale_columns(dG, masks[1])
        if not z.shape[0]:
            product(G, layer.W, Z)
            add_row(Z, v[GATE])
        h = Y if layer.on_y else G
        gate_vjp(dG.reshape(-1), h.reshape(-1), Z.reshape(-1), constants[3], dH.reshape(-1), dZ.reshape(-1))
        sum_rows(dZ, products.rows[0])
        product(G.T, dZ, products.W)
        product(dZ, layer.W.T, dG)
        through_gelu(dH.reshape(-1), dG.reshape(-1), P.reshape(-1), layer.on_y, dZ.reshape(-1))
        through_skip(dZ, U, v[SKIP], dx[t : t + T], products.rows[1])
        product(states_t.T, dZ, products.C)
        product(dZ, layer.C.T, dstates[t : t + T])
        add_rows(parts.W, products.W)
        add_rows(parts.C, products.C)
        add_rows(parts.rows[:2], products.rows[:2])


@inner
def adjoint(a, states, dstates, start, carry, end, sums):  # type: ignore[no-untyped-def]
    """The adjoint of `scan`: dstates ← d(B̄u) of each direction; sums = Σ g conj(x before)."""
    P = a.size // 2
    work = np.zeros((4, P), states.dtype)
    re, im, sr, si = work[0], work[1], work[2], work[3]
    for column in range(0, states.shape[1], a.size):
        for p in range(P):
            re[p], im[p] = carry[column + 2 * p], carry[column + 2 * p + 1]
        before = start[column : column + 2 * P]
        # the forward direction is retraced from its last step
        adjoint_rows(dstates, column, a, re, im, states, before, sr, si, column == 0)
        for p in range(P):
            end[column + 2 * p], end[column + 2 * p + 1] = re[p], im[p]
    for p in range(P):
        sums[2 * p], sums[2 * p + 1] = sr[p], si[p]


@inner
def up(x, layer, dx, dstates, tiles, dBu, products, parts):  # type: ignore[no-untyped-def]
    """From d(B̄u) to du, left in dx, and the sums Σ du and Σ du x̂."""
    v, one_way = layer.vectors, dstates.shape[1] == layer.B.shape[1]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, tile = x[t : t + size], dstates[t : t + size]
        T = rows.shape[0]
        U, dU = tiles[0, :T], tiles[1, :T]
        d = tile if one_way else dBu[:T]
        if not one_way:
            sum_of_both(tile, d)
        normalise(rows, v[MEAN], v[FACTOR], v[BIAS], U)
        product(U.T, d, products.B)
        product(d, layer.B.T, dU)
        add_and_sum(rows, v[MEAN], v[RSTD], dU, dx[t : t + T], products.rows[2], products.rows[3])
        add_rows(parts.B, products.B)
        add_rows(parts.rows[2:], products.rows[2:])


@compiled
def backward(  # type: ignore[no-untyped-def]
    lo, hi, room, phase, bounds, x, layer, masks, starts, states, kept, y, z,
    dout, dx, dstates, carries, ends, sums, parts,
):  # fmt: skip
    """Groups lo to hi of the items. PROJECT: down, and the end of every chunk's adjoint started from zero;
    FINISH: adjoint and up; both at once where a sequence is one chunk.

    ``kept``: states hold what forward left; else they, or scratch where there are none, are computed again.
    room: s5ref.cpu.room.Room. dout (N, L, H), or (N, 1, H) where every step has the same.
    """
    chunks, S, groups = bounds.size - 1, layer.C.shape[0], parts.B.shape[0]
    L, tiles, products = x.shape[1], room.tiles, room.products
    zero, end = np.zeros(S, x.dtype), np.empty(S, x.dtype)
    items = x.shape[0] * chunks
    for g in range(lo, hi):
        part = Parts(parts.B[g], parts.C[g], parts.W[g], parts.rows[g])
        for item in range(items * g // groups, items * (g + 1) // groups):
            n, c = item // chunks, item % chunks
            first, last = bounds[c], bounds[c + 1]
            at, to = first - bounds[0], last - bounds[0]
            xs, dxs = x[n, first:last], dx[n, first:last]
            rows = states[n, at:to] if states.shape[0] else room.states[: to - at]
            drows = dstates[n, at:to] if dstates.shape[0] else room.dstates[: to - at]
            if phase & PROJECT:
                if not kept:
                    project(xs, layer, rows, tiles[0], room.Bu)
                    scan(layer.a, rows, starts[n, c], end)
                Y = y[n, first:last] if y.shape[0] else tiles[2, :0]
                Z = z[n, first:last] if z.shape[0] else tiles[3, :0]
                dys = dout[n, first:last] if dout.shape[1] == L else dout[n]
                down(xs, layer, masks[n], rows, Y, Z, dys, dxs, drows, tiles, products, part)
            if phase == PROJECT:
                copy_rows(drows, room.dstates[: to - at])  # they stay for the right carry
                adjoint(layer.a, rows, room.dstates[: to - at], zero, zero, ends[n, c], sums[item])
                continue
            adjoint(layer.a, rows, drows, starts[n, c], carries[n, c], ends[n, c], sums[item])
            up(xs, layer, dxs, drows, tiles, room.Bu, products, part)
