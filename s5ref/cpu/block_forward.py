"""A sequence layer tile by tile, forward: normalise, B̄u, scan, C̃x + D∘u, GELU, gate, skip, all while a tile
is in the cache. `s5ref.cpu.block` says what is computed when.

An *item* is a chunk of one sequence: steps ``bounds[c]`` to ``bounds[c + 1]`` of example n. A row of states
is [forward | backward], or [forward], each interleaved real and imaginary parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from s5ref.cpu.compile import compiled, inner, spliced
from s5ref.cpu.gemm import product, product_plus
from s5ref.cpu.recurrence import scan_rows
from s5ref.cpu.stages import all_done, done, take
from s5ref.cpu.tile import (
    clear,
    copy,
    copy_twice,
    gate,
    gelu,
    masked_plus,
    normalise,
    rows_of_tile,
    times_row,
)

STAGES = PROJECT, CARRY, FINISH = 0, 1, 2
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
def span_of(layer, steps):  # type: ignore[no-untyped-def]
    """How many of an item's steps are worked on from end to end before the next: a tile where there is one
    direction; all of them where there are two, of which one begins at the end.
    """
    return rows_of_tile(steps) if layer.C.shape[0] == layer.B.shape[1] else steps


@inner
def project(x, layer, states, u, Bu):  # type: ignore[no-untyped-def]
    """B̄u of rows, into the part of every direction; u, Bu: room for a tile. The last tile's u stays."""
    v, one_way = layer.vectors, states.shape[1] == layer.B.shape[1]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, tile = x[t : t + size], states[t : t + size]
        U = u[: rows.shape[0]]
        normalise((v[MEAN], v[FACTOR], v[BIAS]), (rows,), (U,), ())
        target = tile if one_way else Bu[: rows.shape[0]]
        product(U, layer.B, target)
        if not one_way:
            copy_twice((), (target,), (tile[:, : target.shape[1]], tile[:, target.shape[1] :]), ())


@inner
def scan(a, states, carry):  # type: ignore[no-untyped-def]
    """Every direction over rows; carry (S) before and after."""
    for column in range(0, states.shape[1], a.size):
        scan_rows(states, column, a, carry[column : column + a.size], column > 0)


@inner
def readout(x, layer, masks, states, y, z, out, tiles, fresh):  # type: ignore[no-untyped-def]
    """out = x + the mix of C̃x + D∘u, tile by tile. y, z: the rows to leave them in, or none. ``fresh``: there
    is one tile, and its u is in place.
    """
    v, one = layer.vectors, layer.constants[3]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, to = x[t : t + size], out[t : t + size]
        T = rows.shape[0]
        U, G = tiles[0, :T], tiles[1, :T]
        Y = y[t : t + T] if y.shape[0] else tiles[2, :T]
        Z = z[t : t + T] if z.shape[0] else tiles[3, :T]
        if not fresh:
            normalise((v[MEAN], v[FACTOR], v[BIAS]), (rows,), (U,), ())
        times_row((v[SKIP],), (U,), (Y,), ())
        product_plus(states[t : t + T], layer.C, Y, Y)
        gelu(Y.reshape(-1), layer.constants, G.reshape(-1))
        if layer.dropout:
            times_row((masks[0],), (G,), (G,), ())
        product_plus(G, layer.W, v[GATE : GATE + 1], Z)
        h = Y if layer.on_y else G
        gate(h.reshape(-1), Z.reshape(-1), one, to.reshape(-1))
        masked_plus((masks[1],), (to, rows), (to,), ())


@inner
def carry_over(starts, ends, powers, from_last):  # type: ignore[no-untyped-def]
    """start of the next chunk = power start + end, over the chunks (chunks, S) of a sequence: of the first
    direction from the first to the last, or ``from_last``; of the second the other way.
    """
    count, size = powers.shape
    for column in range(0, starts.shape[1], size):
        for i in range(count - 1):
            backwards = from_last if column == 0 else not from_last
            c, to = (count - 1 - i, count - 2 - i) if backwards else (i, i + 1)
            for p in range(0, size, 2):
                re, im = starts[c, column + p], starts[c, column + p + 1]
                starts[to, column + p] = powers[c, p] * re - powers[c, p + 1] * im + ends[c, column + p]
                starts[to, column + p + 1] = (
                    powers[c, p] * im + powers[c, p + 1] * re + ends[c, column + p + 1]
                )


@spliced
def _item(job, stage, room, bounds, x, layer, masks, starts, ends, states, y, z, out):  # type: ignore[no-untyped-def]
    chunks, tiles, carry = bounds.size - 1, room.tiles, room.carry
    n, c = job // chunks, job % chunks
    first, last = bounds[c], bounds[c + 1]
    if stage == PROJECT:
        clear(carry)
    else:
        copy((), (starts[n, c],), (carry,), ())
    span = span_of(layer, last - first)
    projects = stage == PROJECT or chunks == 1
    for t in range(first, last, span):
        end = min(t + span, last)
        xs, rows = x[n, t:end], room.states[: end - t]
        if states.shape[0]:
            rows = states[n, t - bounds[0] : end - bounds[0]]
        if projects:
            project(xs, layer, rows, tiles[0], room.Bu)
        if stage == PROJECT:
            again = room.dstates[: end - t]  # B̄u stays for the scan from the right start
            copy((), (rows,), (again,), ())
            scan(layer.a, again, carry)
        else:
            scan(layer.a, rows, carry)
            Y = y[n, t:end] if y.shape[0] else tiles[2, :0]
            Z = z[n, t:end] if z.shape[0] else tiles[3, :0]
            fresh = projects and end - t <= tiles.shape[1]
            readout(xs, layer, masks[n], rows, Y, Z, out[n, t:end], tiles, fresh)
    copy((), (carry,), (ends[n, c],), ())


@compiled
def forward(progress, room, bounds, x, layer, masks, starts, ends, powers, states, y, z, out):  # type: ignore[no-untyped-def]
    """The items of a wave. Where a sequence is more than one chunk, in three stages: B̄u into ``states`` and
    the end of every chunk started from zero; the start of every chunk; all that follows. Else in the last.

    room: s5ref.cpu.room.Room. masks (N, 2, H). powers (chunks, 2P'): Λ̄^steps. states: (N, L, S), or none
    where it need not stay; y and z: (N, L, H), or none.
    """
    for stage in STAGES:
        job = take(progress, stage)
        while job >= 0:
            if stage == CARRY:
                carry_over(starts[job], ends[job], powers, False)
            else:
                _item(job, stage, room, bounds, x, layer, masks, starts, ends, states, y, z, out)
            done(progress, stage)
            job = take(progress, stage)
        all_done(progress, stage)
