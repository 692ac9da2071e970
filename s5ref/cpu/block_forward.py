"""A sequence layer tile by tile, forward: normalise, B̄u, scan, C̃x + D∘u, GELU, gate, skip, all while a tile
is in the cache. `s5ref.cpu.chunking` says how a batch is cut into chunks.

    u = norm(x);  x_k = Λ̄ x_{k−1} + B̄ u_k;  y = C̃x + D ∘ u;  g = drop(gelu(y))
    out = x + drop(h ∘ σ(g W + b)), or x + g (gelu)

with h = g (half_glu1), y (half_glu2) or g W₁ + b₁ (full_glu). At a reset s stands for x_{k−1}; at steps of
masked padding B̄ u_k is 0. A norm after the layer is a pass of its own. N batch, L steps, H features, P' kept
states, D directions; a row of states has S = 2P' numbers [forward], or S = 4P' [forward | backward], each
interleaved real and imaginary parts. T is the number of rows of whatever is worked on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from s5ref.cpu.chunking import STARTS, run_chunks
from s5ref.cpu.compile import compiled, device_function, inlined
from s5ref.cpu.elementwise import activate, glu_loop
from s5ref.cpu.irregular import scan_held, scan_impulses
from s5ref.cpu.simd import column_part, part, scan_rows, standardise_rows, tile_product, tile_product_plus
from s5ref.cpu.tile import (
    clear,
    clear_rows,
    copy_rows,
    drop_rows,
    drop_rows_and_add,
    episode,
    normalise_rows,
    rows_of,
    rows_of_tile,
    scale_rows,
)


class Layer(NamedTuple):
    """What the loops read of a layer.

    mean, factor, bias, rstd    (H) of the norm: factor = scale/√(variance + ε), rstd = 1/√(variance + ε)
    row_norm                    whether it is LayerNorm: mean and rstd are those of each row, and 0 and 1 here
    Lambda_bar                  (2P'); no number under irregular sampling
    Z, impulses                 None, or under irregular sampling (2, P'), and whether by Dirac's rule
    B, C, D                     (H, 2P'), (S, H), (H) as real weights; under irregular sampling B is that of
                                the w of `s5ref.cpu.irregular`
    s                           (S), the state that a reset brings
    W, b                        (H, H), (1, H) of the gate, or without rows: none
    W1, b1                      the same of what full GLU gates, or without rows
    erf                         whether the GELU is that of the error function
    gates_y                     whether the gate acts on y (half_glu2) rather than on its GELU (half_glu1)
    dropout                     whether there are masks
    """

    mean: Any
    factor: Any
    bias: Any
    rstd: Any
    row_norm: Any
    D: Any
    Lambda_bar: Any
    Z: Any
    impulses: Any
    B: Any
    C: Any
    W: Any
    b: Any
    W1: Any
    b1: Any
    s: Any
    erf: Any
    gates_y: Any
    dropout: Any


class Forward(NamedTuple):
    """What the forward pass of a section reads and writes: x (N, L, H), which of its steps are ``valid`` (N,
    L), the ``resets`` and intervals ``tau`` (D, N, L) of its D directions, tau of none if regular; masks
    (sequences, 2, H), and the sequence of every step, ``ids`` (N, L), or (N, 1) where a row is one;
    ``states`` (N, steps, S), or no rows where they need not stay; y and z (N, L, H), or no rows; out (N, L,
    H).
    """

    x: Any
    valid: Any
    tau: Any
    resets: Any
    masks: Any
    ids: Any
    states: Any
    y: Any
    z: Any
    out: Any


@compiled
def forward(progress, scratch, layer, chunks, arrays):  # type: ignore[no-untyped-def]
    """The chunks of a section. STARTS: B̄u into ``states``, and what each chunk leaves. FINISH: all that
    follows.

    scratch: Scratch, layer: Layer, chunks: Chunks, arrays: Forward.
    """
    run_chunks(progress, _chunk, scratch, layer, chunks, arrays)


@inlined
def _chunk(i, task, phase, scratch, layer, chunks, arrays):  # type: ignore[no-untyped-def]
    """Chunk i = n · chunks + c in one phase, span by span: x, out (L, H), states (steps of a span, S).
    STARTS: `project`, and the scan of a copy. FINISH: the scan and `readout`.
    """
    number = chunks.bounds.size - 1
    n, c = i // number, i % number
    begin, first, last = chunks.bounds[0], chunks.bounds[c], chunks.bounds[c + 1]
    x, out, carry = arrays.x[n], arrays.out[n], scratch.carry
    if phase == STARTS:
        clear(carry)
    else:
        copy_rows(chunks.entering[n, c], carry)
    projects = phase == STARTS or number == 1
    span = rows_of_span(layer, last - first)
    for t in range(first, last, span):
        end = min(t + span, last)
        states = part(scratch.states, 0, end - t)
        if arrays.states.shape[0]:
            states = part(arrays.states[n], t - begin, end - begin)
        tau, resets = column_part(arrays.tau[:, n], t, end), column_part(arrays.resets[:, n], t, end)
        if projects:
            project(part(x, t, end), part(arrays.valid[n], t, end), layer, states, scratch)
        if phase == STARTS:
            copy = part(scratch.dstates, 0, end - t)  # B̄u stays for the scan from the right start
            copy_rows(states, copy)
            scan(layer.Z, layer, tau, resets, copy, carry)
        else:
            scan(layer.Z, layer, tau, resets, states, carry)
            y = part(arrays.y[n], t, end) if arrays.y.shape[0] else part(scratch.y, 0, 0)
            z = part(arrays.z[n], t, end) if arrays.z.shape[0] else part(scratch.z, 0, 0)
            ids = rows_of(arrays.ids[n], t, end - t)
            has_u = projects and end - t <= scratch.u.shape[0]
            rows = Rows(part(x, t, end), arrays.masks, ids, states, y, z, part(out, t, end))
            readout(rows, layer, scratch, has_u)
    copy_rows(carry, chunks.leaving[n, c])


class Rows(NamedTuple):
    """What `readout` works on: x and out (T, H), masks (sequences, 2, H), ids (T) or (1), states (T, S); y
    and z (T, H) to leave them in, or no rows.
    """

    x: Any
    masks: Any
    ids: Any
    states: Any
    y: Any
    z: Any
    out: Any


@inlined
def rows_of_span(layer, steps):  # type: ignore[no-untyped-def]
    """How many of a chunk's steps go through the whole layer before the next: a tile where there is one
    direction; all of them where there are two, of which one begins at the end.
    """
    return rows_of_tile(steps) if layer.C.shape[0] == layer.B.shape[1] else steps


@device_function
def normalise(x, layer, scratch):  # type: ignore[no-untyped-def]
    """u of rows x (T, H), in scratch; with LayerNorm x̂ and rstd are there too."""
    u = part(scratch.u, 0, x.shape[0])
    if layer.row_norm:
        xhat = part(scratch.xhat, 0, x.shape[0])
        standardise_rows(x, xhat, scratch.rstd)
        normalise_rows(xhat, layer.mean, layer.factor, layer.bias, u)
    else:
        normalise_rows(x, layer.mean, layer.factor, layer.bias, u)


@inlined
def project(x, valid, layer, states, scratch):  # type: ignore[no-untyped-def]
    """B̄u of rows x (T, H), or 0 where they are not ``valid`` (T), into the part of every direction of states
    (T, S). The last tile's u stays in scratch.
    """
    P2, S = layer.B.shape[1], states.shape[1]
    size = rows_of_tile(x.shape[0])
    for t in range(0, x.shape[0], size):
        rows, tile = part(x, t, t + size), part(states, t, t + size)
        u, Bu = part(scratch.u, 0, rows.shape[0]), part(scratch.Bu, 0, rows.shape[0])
        normalise(rows, layer, scratch)
        if S == P2:
            tile_product(u, layer.B, tile)
            clear_rows(tile, part(valid, t, t + size))
        else:
            tile_product(u, layer.B, Bu)
            clear_rows(Bu, part(valid, t, t + size))
            copy_rows(Bu, column_part(tile, 0, P2))
            copy_rows(Bu, column_part(tile, P2, S))


@device_function
def scan(Z, layer, tau, resets, states, carry):  # type: ignore[no-untyped-def]
    """Every direction over rows (T, S), in place, from one reset to the next; carry (S) before and after. Z:
    the layer's; tau, resets (D, T).
    """
    T, size = states.shape[0], layer.B.shape[1]
    for column in range(0, states.shape[1], size):
        x, flags, backwards, done = part(carry, column, column + size), resets[column // size], column > 0, 0
        while done < T:
            lo, hi = episode(flags, done, T - done, backwards, backwards)
            if flags[hi - 1 if backwards else lo]:
                copy_rows(part(layer.s, column, column + size), x)
            rows = part(states, lo, hi)
            if Z is None:
                scan_rows(rows, column, layer.Lambda_bar, x, backwards)
            elif layer.impulses:
                scan_impulses(rows, column, Z, part(tau[column // size], lo, hi), x, backwards)
            else:
                scan_held(rows, column, Z, part(tau[column // size], lo, hi), x, backwards)
            done += hi - lo


@inlined
def readout(rows, layer, scratch, has_u):  # type: ignore[no-untyped-def]
    """out = x + drop(h ∘ σ(drop(gelu(y)) W + b)), y = C̃x + D∘u, tile by tile. ``has_u``: there is one
    tile, whose u is in scratch.
    """
    size = rows_of_tile(rows.x.shape[0])
    for t in range(0, rows.x.shape[0], size):
        x, out = part(rows.x, t, t + size), part(rows.out, t, t + size)
        T = x.shape[0]
        ids = rows_of(rows.ids, t, T)
        u, g = part(scratch.u, 0, T), part(scratch.g, 0, T)
        y = part(rows.y, t, t + T) if rows.y.shape[0] else part(scratch.y, 0, T)
        z = part(rows.z, t, t + T) if rows.z.shape[0] else part(scratch.z, 0, T)
        if not has_u:
            normalise(x, layer, scratch)
        scale_rows(u, layer.D, y)
        tile_product_plus(part(rows.states, t, t + T), layer.C, y, y)
        activate(layer.erf, y, g)
        if layer.dropout:
            drop_rows(g, rows.masks, 0, ids, g)
        if layer.W.shape[0]:
            tile_product_plus(g, layer.W, layer.b, z)
            h = y if layer.gates_y else g
            if layer.W1.shape[0]:
                h = part(scratch.h, 0, T)
                tile_product_plus(g, layer.W1, layer.b1, h)
            glu_loop(h, z, out)
            drop_rows_and_add(out, rows.masks, 1, ids, x, out)
        else:
            drop_rows_and_add(g, rows.masks, 1, ids, x, out)
