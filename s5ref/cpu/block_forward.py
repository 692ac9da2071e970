"""A sequence layer tile by tile, forward: normalise, B̄u, scan, C̃x + D∘u, GELU, gate, skip, all while a tile
is in the cache. `s5ref.cpu.block` says what is computed when.

An *item* is a chunk of one sequence: steps ``bounds[c]`` to ``bounds[c + 1]`` of example n. A row of states
is [forward | backward], or [forward], each interleaved real and imaginary parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.cpu.compile import compiled, inner
from s5ref.cpu.recurrence import scan_rows
from s5ref.cpu.tile import (
    add_product,
    add_row,
    add_rows,
    copy_rows,
    gate,
    gelu,
    normalise,
    product,
    rows_of_tile,
    scale_columns,
    to_both,
)

PROJECT, FINISH = 1, 2  # phases
MEAN, FACTOR, BIAS, RSTD, SKIP, GATE = range(6)  # rows of Layer.vectors: of the norm, D, and b of the gate


class Layer(NamedTuple):
    """What the loops read of a layer: vectors (6, H); a is Λ̄ (2P'); B (H, 2P') and C (S, H) real weights; W
    (H, H) of the gate; ``on_y`` whether the gate acts on y (half_glu2) rather than on its GELU (half_glu1);
    ``dropout`` whether there are masks.
    """

    vectors: Any
    constants: Any
    a: Any
    B: Any
    C: Any
    W: Any
    on_y: Any
    dropout: Any


@inner
def project(x, layer, states, u, Bu):  # type: ignore[no-untyped-def]
    """B̄u of the rows of an item, into the part of every direction; u, Bu: room for a tile."""
    v, one_way = layer.vectors, states.shape[1] == layer.B.shape[1]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, tile = x[t : t + size], states[t : t + size]
        U = u[: rows.shape[0]]
        normalise(rows, v[MEAN], v[FACTOR], v[BIAS], U)
        target = tile if one_way else Bu[: rows.shape[0]]
        product(U, layer.B, target)
        if not one_way:
            to_both(target, tile)


@inner
def scan(a, states, start, end):  # type: ignore[no-untyped-def]
    """Every direction over the rows of an item, from ``start`` (S) to ``end`` (S)."""
    P = a.size // 2
    carry = np.empty((2, P), states.dtype)
    re, im = carry[0], carry[1]
    for column in range(0, states.shape[1], a.size):
        for p in range(P):
            re[p], im[p] = start[column + 2 * p], start[column + 2 * p + 1]
        scan_rows(states, column, a, re, im, column > 0)
        for p in range(P):
            end[column + 2 * p], end[column + 2 * p + 1] = re[p], im[p]


@inner
def readout(x, layer, masks, states, y, z, out, tiles):  # type: ignore[no-untyped-def]
    """out = x + the mix of C̃x + D∘u, tile by tile. y, z: the rows to leave them in, or none."""
    v, one = layer.vectors, layer.constants[3]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, to = x[t : t + size], out[t : t + size]
        T = rows.shape[0]
        U, G = tiles[0, :T], tiles[1, :T]
        Y = y[t : t + T] if y.shape[0] else tiles[2, :T]
        Z = z[t : t + T] if z.shape[0] else tiles[3, :T]
        normalise(rows, v[MEAN], v[FACTOR], v[BIAS], U)
        product(states[t : t + T], layer.C, Y)
        add_product(Y, U, v[SKIP])
        gelu(Y.reshape(-1), layer.constants, G.reshape(-1))
        if layer.dropout:
            scale_columns(G, masks[0])
        product(G, layer.W, Z)
        add_row(Z, v[GATE])
        h = Y if layer.on_y else G
        gate(h.reshape(-1), Z.reshape(-1), one, to.reshape(-1))
        if layer.dropout:
            scale_columns(to, masks[1])
        add_rows(to, rows)


@compiled
def forward(lo, hi, room, phase, bounds, x, layer, masks, starts, ends, states, y, z, out):  # type: ignore[no-untyped-def]
    """Items lo to hi. PROJECT: B̄u into ``states`` and the end of every chunk started from zero; FINISH: all
    that follows, from ``starts``; both at once where a sequence is one chunk.

    room: s5ref.cpu.room.Room. masks (N, 2, H). states: (N, L, S), or none where it need not stay; y and z:
    (N, L, H), or none.
    """
    chunks, S = bounds.size - 1, layer.C.shape[0]
    tiles = room.tiles
    zero = np.zeros(S, x.dtype)
    for item in range(lo, hi):
        n, c = item // chunks, item % chunks
        first, last = bounds[c], bounds[c + 1]
        at, to = first - bounds[0], last - bounds[0]
        xs = x[n, first:last]
        rows = states[n, at:to] if states.shape[0] else room.states[: to - at]
        if phase & PROJECT:
            project(xs, layer, rows, tiles[0], room.Bu)
        if phase == PROJECT:
            copy_rows(rows, room.dstates[: to - at])  # B̄u stays for the scan from the right start
            scan(layer.a, room.dstates[: to - at], zero, ends[n, c])
            continue
        scan(layer.a, rows, starts[n, c], ends[n, c])
        Y = y[n, first:last] if y.shape[0] else tiles[2, :0]
        Z = z[n, first:last] if z.shape[0] else tiles[3, :0]
        readout(xs, layer, masks[n], rows, Y, Z, out[n, first:last], tiles)
