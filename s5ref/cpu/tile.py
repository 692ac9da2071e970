"""What is done to one tile of rows while it is in the cache.

Passes over rows are written as what happens to one element: see `s5ref.cpu.simd.row_pass`, which says what
the annotations mean. T is the number of rows, H that of columns.
"""

from __future__ import annotations

from s5ref.cpu.compile import device_function, inlined
from s5ref.cpu.simd import InOut, Lanes, Out, Row, Sum, Tile, part, row_pass

TILE = 256  # rows: what a tile touches stays in the second-level cache


@device_function
def rows_of_tile(rows):  # type: ignore[no-untyped-def]
    """The size of the parts, equal but for the last, into which ``rows`` rows are cut."""
    return -(-rows // (1 + (rows - 1) // TILE))


@device_function
def clear(x):  # type: ignore[no-untyped-def]
    """x = 0. x contiguous, of any shape."""
    flat = x.reshape(-1)
    for i in range(flat.size):
        flat[i] = 0


@device_function
def run_end(mask, t, end):  # type: ignore[no-untyped-def]
    """Where the run of equal values of ``mask`` that begins at t ends, at the latest at ``end``."""
    value = mask[t]
    while t < end and mask[t] == value:
        t += 1
    return t


@device_function
def episode(resets, done, most, from_last, starts_last):  # type: ignore[no-untyped-def]
    """(lo, hi): of T steps of which ``done`` are done, ``from_last`` the last ones, the next, at most
    ``most``, which are of one episode. resets (T): the steps with which an episode begins, in a direction
    that begins with the last step where ``starts_last``.
    """
    T = resets.size
    lo = hi = T - done if from_last else done
    while hi - lo < most:
        if from_last:
            if lo == 0 or (hi > lo and resets[lo - 1 if starts_last else lo]):
                break
            lo -= 1
        else:
            if hi == T or (hi > lo and resets[hi - 1 if starts_last else hi]):
                break
            hi += 1
    return lo, hi


@device_function
def clear_rows(x, kept):  # type: ignore[no-untyped-def]
    """x = 0 in those rows that ``kept`` (T) leaves out. x (T, …)."""
    for t in range(kept.size):
        if not kept[t]:
            for i in range(x.shape[1]):
                x[t, i] = 0


@row_pass
def copy_rows(x: Tile, out: Out) -> Lanes:
    """out = x."""
    return x


@row_pass
def add_rows(x: Tile, y: Tile, out: Out) -> Lanes:
    """out = x + y."""
    return x + y


@row_pass
def multiply_rows(x: Tile, y: Tile, out: Out) -> Lanes:
    """out = x ∘ y."""
    return x * y


@row_pass
def scale_rows(x: Tile, row: Row, out: Out) -> Lanes:
    """out = x ∘ row."""
    return x * row


@row_pass
def scale_rows_and_add(x: Tile, row: Row, y: Tile, out: Out) -> Lanes:
    """out = x ∘ row + y."""
    return x * row + y


@inlined
def rows_of(x, t, T):  # type: ignore[no-untyped-def]
    """Rows t … t + T − 1 of x, or x itself where one row stands for all."""
    return part(x, t, t + T) if x.shape[0] > 1 else x


@device_function
def drop_rows(x, masks, which, ids, out):  # type: ignore[no-untyped-def]
    """out = x ∘ the mask of every row's sequence. x (T, H), or (1, H) where one row stands for all; masks
    (S, 2, H), of which one ``which``; ids (T), or (1) where all rows are of one sequence; out (T, H).
    """
    T, t = out.shape[0], 0
    while t < T:
        end = run_end(ids, t, T) if ids.size > 1 else T
        scale_rows(rows_of(x, t, end - t), masks[ids[t], which], part(out, t, end))
        t = end


@device_function
def drop_rows_and_add(x, masks, which, ids, y, out):  # type: ignore[no-untyped-def]
    """`drop_rows` of x (T, H), + y (T, H)."""
    T, t = out.shape[0], 0
    while t < T:
        end = run_end(ids, t, T) if ids.size > 1 else T
        scale_rows_and_add(part(x, t, end), masks[ids[t], which], part(y, t, end), part(out, t, end))
        t = end


@row_pass
def sum_rows(x: Tile, sums: Sum) -> Lanes:
    """sums += Σ x."""
    return x


@row_pass
def sum_squares(x: Tile, mean: Row, sums: Sum) -> Lanes:
    """sums += Σ (x − mean)²."""
    return (x - mean) * (x - mean)


@row_pass
def normalise_rows(x: Tile, mean: Row, factor: Row, bias: Row, out: Out) -> Lanes:
    """out = (x − mean) ∘ factor + bias."""
    return (x - mean) * factor + bias


@row_pass
def normalise_sums(x: Tile, mean: Row, rstd: Row, dy: Tile, dbias: Sum, dscale: Sum) -> tuple[Lanes, Lanes]:
    """dbias += Σ dy, dscale += Σ dy ∘ x̂ with x̂ = (x − mean) ∘ rstd."""
    return dy, dy * ((x - mean) * rstd)


@row_pass
def normalise_vjp_rows(
    dx: InOut, x: Tile, mean: Row, rstd: Row, dbias: Row, dscale: Row, factor: Row, skip: Tile
) -> Lanes:
    """dx ← factor ∘ (dx − dbias − x̂ ∘ dscale) + skip."""
    return (dx - dbias - (x - mean) * rstd * dscale) * factor + skip


@row_pass
def feedthrough_vjp(dy: Tile, u: Tile, D: Row, du: Out, dD: Sum) -> tuple[Lanes, Lanes]:
    """du = D ∘ dy, dD += Σ dy ∘ u."""
    return D * dy, dy * u
