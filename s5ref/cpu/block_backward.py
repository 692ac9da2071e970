"""A sequence layer tile by tile, backward: the vjp of `s5ref.cpu.block_forward`, in the same chunks and
tiles, from the last to the first. Names and shapes are those of that file.

Down, from the last tile to the first: gate, GELU, readout; then the adjoint of the scan; then up:
projection and the sums that the norm needs. What forward did not leave is computed again from x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from s5ref.cpu.block_forward import normalise, project, rows_of_span, scan
from s5ref.cpu.chunking import STARTS, run_chunks
from s5ref.cpu.compile import compiled, device_function, inlined
from s5ref.cpu.elementwise import activate_with_slope, gelu_vjp_loop, glu_vjp_loop
from s5ref.cpu.irregular import adjoint_held, adjoint_impulses
from s5ref.cpu.simd import (
    column_part,
    correlate_rows,
    part,
    scan_rows,
    standardise_vjp_rows,
    tile_product,
    tile_product_plus,
)
from s5ref.cpu.tile import (
    add_rows,
    clear,
    clear_rows,
    copy_rows,
    drop_rows,
    episode,
    feedthrough_vjp,
    multiply_rows,
    normalise_sums,
    rows_of,
    rows_of_tile,
    scale_rows,
    sum_rows,
)


class Transposed(NamedTuple):
    """What the backward pass multiplies by: conj Λ̄ (2P') and, of a `Layer`, Bᵀ (2P', H), Cᵀ (H, S), Wᵀ and
    W₁ᵀ (H, H).
    """

    Lambda_bar: Any
    B: Any
    C: Any
    W: Any
    W1: Any


class Sums(NamedTuple):
    """Sums over a group of chunks, first axis G: dB (G, H, 2P'), dCᵀ (G, H, S), dW (G, H, H), and (G, H)
    of the gate's b, of D, and of the norm's bias and scale; (G, S) of the state that a reset brings.
    """

    dB: Any
    dC: Any
    dW: Any
    db: Any
    dD: Any
    dbias: Any
    dscale: Any
    ds: Any
    dW1: Any
    db1: Any


class Backward(NamedTuple):
    """What the backward pass of a section reads and writes: the transposed weights; x, valid, tau, resets,
    masks, ids, y and z of `Forward`; ``starts`` (N, chunks, S) of the states; ``states`` (N, steps, S), which
    hold what forward left where ``kept``, and else are computed again, or no rows; dout (N, L, H), or (N, 1,
    H) where every step has the same; dx (N, L, H); ``dstates`` (N, steps, S), or no rows where they need not
    stay; dLambda_bar (N · chunks, 2, 2P'), see `retrace`; sums.
    """

    transposed: Any
    x: Any
    valid: Any
    tau: Any
    resets: Any
    masks: Any
    ids: Any
    y: Any
    z: Any
    starts: Any
    states: Any
    kept: Any
    dout: Any
    dx: Any
    dstates: Any
    dLambda_bar: Any
    sums: Any


@compiled
def backward(progress, scratch, layer, chunks, arrays):  # type: ignore[no-untyped-def]
    """The chunks of a section, in groups, whose sums are added up in their order. STARTS: down, and what
    leaves every chunk's adjoint entered by zero. FINISH: adjoint and up.

    scratch: Scratch, layer: Layer, chunks: Chunks of cotangents, arrays: Backward.
    """
    run_chunks(progress, _chunk, scratch, layer, chunks, arrays)


@inlined
def _chunk(i, group, phase, scratch, layer, chunks, arrays):  # type: ignore[no-untyped-def]
    """Chunk i = n · chunks + c in one phase, span by span from the last: x, dx (L, H), states (steps of the
    chunk, S). STARTS: `down`, and the adjoint of a copy of dstates. FINISH: the adjoint and `up`.
    """
    number = chunks.bounds.size - 1
    n, c = i // number, i % number
    begin, first, last = chunks.bounds[0], chunks.bounds[c], chunks.bounds[c + 1]
    x, dx, dout, carry = arrays.x[n], arrays.dx[n], arrays.dout[n], scratch.carry
    descends = phase == STARTS or number == 1
    states = part(scratch.states, 0, last - first)
    if arrays.states.shape[0]:
        states = part(arrays.states[n], first - begin, last - begin)
    if descends and not arrays.kept:
        copy_rows(arrays.starts[n, c], carry)
        project(part(x, first, last), part(arrays.valid[n], first, last), layer, states, scratch)
        scan(
            layer.Z,
            layer,
            column_part(arrays.tau[:, n], first, last),
            column_part(arrays.resets[:, n], first, last),
            states,
            carry,
        )
    clear(arrays.dLambda_bar[i])
    if phase == STARTS:
        clear(carry)
    else:
        copy_rows(chunks.entering[n, c], carry)
    a, span = arrays.transposed.Lambda_bar, rows_of_span(layer, last - first)
    into = StateSums(arrays.dLambda_bar[i], arrays.sums.ds[group])
    for t in range((last - first - 1) // span * span, -1, -span):
        at, end = first + t, min(first + t + span, last)
        dstates = part(scratch.dstates, 0, end - at)
        if arrays.dstates.shape[0]:
            dstates = part(arrays.dstates[n], at - begin, end - begin)
        y = part(arrays.y[n], at, end) if arrays.y.shape[0] else part(scratch.y, 0, 0)
        z = part(arrays.z[n], at, end) if arrays.z.shape[0] else part(scratch.z, 0, 0)
        ids, d = rows_of(arrays.ids[n], at, end - at), rows_of(dout, at, end - at)
        tau, resets = column_part(arrays.tau[:, n], at, end), column_part(arrays.resets[:, n], at, end)
        rows = RowsVjp(
            part(x, at, end), part(arrays.valid[n], at, end), tau, resets, arrays.masks, ids,
            part(states, t, t + end - at), y, z, d, part(dx, at, end), dstates,
        )  # fmt: skip
        if descends:
            down(rows, layer, arrays.transposed, scratch, arrays.sums, group)
        passed = Passed(states, arrays.starts[n, c], t)
        if phase == STARTS:
            copy = part(scratch.dstates, 0, end - at)  # they stay for the right carry
            copy_rows(dstates, copy)
            retrace(layer.Z, layer, a, copy, rows, passed, scratch, (into, False))
        else:
            retrace(layer.Z, layer, a, dstates, rows, passed, scratch, (into, True))
            # `retrace` has left the u of other rows where it needs w
            has_u = descends and end - at <= scratch.u.shape[0] and layer.Z is None
            up(rows, layer, arrays.transposed, scratch, arrays.sums, group, has_u)
    copy_rows(carry, chunks.leaving[n, c])


class RowsVjp(NamedTuple):
    """What `down`, `retrace` and `up` work on: x and dx (T, H), valid (T), tau and resets (D, T), masks
    (sequences, 2, H), ids (T) or (1), states and dstates (T, S), dout (T, H) or (1, H); y and z (T, H), or
    no rows where they are computed again.
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
    dout: Any
    dx: Any
    dstates: Any


@inlined
def down(rows, layer, transposed, scratch, sums, group):  # type: ignore[no-untyped-def]
    """From dout to dstates, the cotangent of the states by the readout, and D ∘ dy, left in dx. The first
    tile's u stays in scratch.
    """
    size = rows_of_tile(rows.x.shape[0])
    for t in range((rows.x.shape[0] - 1) // size * size, -1, -size):
        x, states = part(rows.x, t, t + size), part(rows.states, t, t + size)
        T = x.shape[0]
        ids = rows_of(rows.ids, t, T)
        u, g, slope = part(scratch.u, 0, T), part(scratch.g, 0, T), part(scratch.slope, 0, T)
        dh, dz, dg = part(scratch.dh, 0, T), part(scratch.dz, 0, T), part(scratch.dg, 0, T)
        y = part(rows.y, t, t + T) if rows.y.shape[0] else part(scratch.y, 0, T)
        z = part(rows.z, t, t + T) if rows.z.shape[0] else part(scratch.z, 0, T)
        normalise(x, layer, scratch)
        if not rows.y.shape[0]:
            scale_rows(u, layer.D, y)
            tile_product_plus(states, layer.C, y, y)
        activate_with_slope(layer.erf, y, g, slope)
        if layer.dropout:
            drop_rows(g, rows.masks, 0, ids, g)
            drop_rows(slope, rows.masks, 0, ids, slope)
        drop_rows(rows_of(rows.dout, t, T), rows.masks, 1, ids, dg)
        full, dy = layer.W1.shape[0] > 0, dz
        if layer.W.shape[0]:
            h = y if layer.gates_y else g
            if full:
                h = part(scratch.h, 0, T)
                tile_product_plus(g, layer.W1, layer.b1, h)
            if not rows.z.shape[0]:
                tile_product_plus(g, layer.W, layer.b, z)
            glu_vjp_loop(h, z, dg, dh, dz)
            sum_rows(dz, sums.db[group])
            tile_product_plus(g.T, dz, sums.dW[group], sums.dW[group])
            tile_product(dz, transposed.W, dg)
        if full:
            sum_rows(dh, sums.db1[group])
            tile_product_plus(g.T, dh, sums.dW1[group], sums.dW1[group])
            tile_product_plus(dh, transposed.W1, dg, dg)
        if full or not layer.W.shape[0]:
            multiply_rows(dg, slope, dy)
        else:
            gelu_vjp_loop(dh, dg, slope, layer.gates_y, dy)
        feedthrough_vjp(dy, u, layer.D, part(rows.dx, t, t + T), sums.dD[group])
        tile_product_plus(dy.T, states, sums.dC[group], sums.dC[group])
        tile_product(dy, transposed.C, part(rows.dstates, t, t + T))


class Passed(NamedTuple):
    """What the scan of a chunk left: its states (steps, S), the state ``start`` (S) that it began from, and
    the step ``t`` of the chunk with which the rows that are worked on begin.
    """

    states: Any
    start: Any
    t: Any


class StateSums(NamedTuple):
    """What the vjp of the discretisation needs (2, 2P'): of `correlate_rows` between d(B̄u) and the state one
    step before, or of `s5ref.cpu.irregular`; and ds (S), the cotangent of the state that a reset brings.
    """

    sums: Any
    ds: Any


class Run(NamedTuple):
    """Rows from one reset to the next: the first is step ``lo`` of the tile; dstates and states (T, S), and
    the state ``before`` (S) the first of them in the direction of the scan.
    """

    lo: Any
    dstates: Any
    states: Any
    before: Any


@device_function
def retrace(Z, layer, a, dstates, rows, passed, scratch, into):  # type: ignore[no-untyped-def]
    """The adjoint of `scan`: dstates (T, S) ← the cotangent of what `project` left, from one reset to the
    one before. ``into``: `StateSums`, and whether they are added to. ``a``: conj Λ̄.
    """
    (states, start, t), ((sums, ds), correlates) = passed, into
    T, P2 = dstates.shape[0], layer.B.shape[1]
    most = T if Z is None else scratch.u.shape[0]  # w of so many rows
    for column in range(0, dstates.shape[1], P2):
        flags, retraced, done = rows.resets[column // P2], column == 0, 0
        x = part(scratch.carry, column, column + P2)
        while done < T:
            lo, hi = episode(flags, done, most, retraced, not retraced)
            begins = flags[lo if retraced else hi - 1]
            before = start
            if begins:
                before = layer.s
            elif retraced and t + lo > 0:
                before = states[t + lo - 1]
            elif not retraced and hi < T:  # two directions: t is 0, and the chunk ends with T
                before = states[hi]
            run = Run(lo, part(dstates, lo, hi), part(states, t + lo, t + hi), before)
            if Z is None:
                adjoint(a, run.dstates, column, x, retraced)
                if correlates:
                    correlate(run.dstates, run.states, before.reshape(1, -1), column, sums)
            else:
                retrace_irregular(Z, layer, rows, run, column, scratch, sums)
            if begins:
                for p in range(P2):
                    ds[column + p] += x[p] if correlates else 0
                    x[p] = 0
            done += hi - lo


@inlined
def adjoint(a, dstates, column, x, retraced):  # type: ignore[no-untyped-def]
    """The adjoint of the recurrence over rows, a (2P') its conj Λ̄: dstates (T, S) ← d(B̄u) of one direction,
    ``retraced`` from the last row where that is the forward one. x (2P'): the cotangent that enters there;
    after, the one that leaves.
    """
    row = dstates[dstates.shape[0] - 1 if retraced else 0]
    for p in range(a.size):
        row[column + p] += x[p]
        x[p] = 0
    scan_rows(dstates, column, a, x, retraced)
    for p in range(0, a.size, 2):
        re, im = x[p], x[p + 1]
        x[p] = a[p] * re - a[p + 1] * im
        x[p + 1] = a[p] * im + a[p + 1] * re


@inlined
def correlate(dstates, states, before, column, sums):  # type: ignore[no-untyped-def]
    """sums (2, 2P') of `correlate_rows` between d(B̄u) and the states one step before, both (T, S), of one
    direction, which came from ``before`` (1, S).
    """
    last = dstates.shape[0] - 1
    if column > 0:
        correlate_rows(part(dstates, 0, last), part(states, 1, states.shape[0]), column, sums)
        correlate_rows(part(dstates, last, dstates.shape[0]), before, column, sums)
    else:
        correlate_rows(part(dstates, 1, dstates.shape[0]), part(states, 0, last), column, sums)
        correlate_rows(part(dstates, 0, 1), before, column, sums)


@inlined
def retrace_irregular(Z, layer, rows, run, column, scratch, sums):  # type: ignore[no-untyped-def]
    """`adjoint` and the sums of the discretisation's vjp, of a `Run` of ``rows``."""
    lo, dstates, states, before = run
    T, P2, retraced = dstates.shape[0], layer.B.shape[1], column == 0
    x = part(scratch.carry, column, column + P2)
    w, tau = part(scratch.Bu, 0, T), part(rows.tau[column // P2], lo, lo + T)
    if layer.impulses:
        adjoint_impulses(dstates, column, states, before, w, Z, tau, x, sums, retraced)
    else:
        normalise(part(rows.x, lo, lo + T), layer, scratch)
        tile_product(part(scratch.u, 0, T), layer.B, w)
        clear_rows(w, part(rows.valid, lo, lo + T))
        adjoint_held(dstates, column, states, before, w, Z, tau, x, sums, retraced)


@inlined
def up(rows, layer, transposed, scratch, sums, group, has_u):  # type: ignore[no-untyped-def]
    """From d(B̄u) to du, left in dx, and the sums Σ du and Σ du ∘ x̂; with LayerNorm from there to dx, the
    skip connection included. ``has_u``: as of `readout`.
    """
    P2, S = layer.B.shape[1], rows.dstates.shape[1]
    size = rows_of_tile(rows.x.shape[0])
    for t in range(0, rows.x.shape[0], size):
        x, du, dBu = part(rows.x, t, t + size), part(rows.dx, t, t + size), part(rows.dstates, t, t + size)
        T = x.shape[0]
        u, more = part(scratch.u, 0, T), part(scratch.g, 0, T)
        if S > P2:
            both, dBu = dBu, part(scratch.Bu, 0, T)
            add_rows(column_part(both, 0, P2), column_part(both, P2, S), dBu)
        clear_rows(dBu, part(rows.valid, t, t + size))
        if not has_u:
            normalise(x, layer, scratch)
        tile_product_plus(u.T, dBu, sums.dB[group], sums.dB[group])
        tile_product(dBu, transposed.B, more)
        add_rows(du, more, du)
        if layer.row_norm:
            xhat, dout = part(scratch.xhat, 0, T), rows_of(rows.dout, t, T)
            normalise_sums(xhat, layer.mean, layer.rstd, du, sums.dbias[group], sums.dscale[group])
            standardise_vjp_rows(du, layer.factor, xhat, scratch.rstd, dout, du)
        else:
            normalise_sums(x, layer.mean, layer.rstd, du, sums.dbias[group], sums.dscale[group])
