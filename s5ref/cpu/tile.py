"""What is done to one tile of rows while it is in the cache: compiled loops, each one idea.

Loops whose operands have one shape run flat: over rows, the end of every row would go one element at a time,
which is dear where an element costs an exponential. ``constants`` are those of
`s5ref.cpu.elementwise.gelu_constants`.
"""

from __future__ import annotations

from s5ref.cpu.compile import inner
from s5ref.cpu.elementwise import gelu_and_slope_at, gelu_at
from s5ref.cpu.exp import sigmoid
from s5ref.cpu.rows import Lanes, over_rows

TILE = 256  # rows: what a tile touches stays in the second-level cache


@inner
def rows_of_tile(rows):  # type: ignore[no-untyped-def]
    """The size of the parts, equal but for the last, into which ``rows`` rows are cut."""
    return -(-rows // (1 + (rows - 1) // TILE))


# over rows: f(rows, given, out, sums) of `over_rows`
normalise = over_rows(lambda mean, factor, bias, x: ((x - mean) * factor + bias,))
times_row = over_rows(lambda row, x: (x * row,))
times_row_twice = over_rows(lambda row, x, y: (x * row, y * row))
masked_plus = over_rows(lambda mask, x, y: (x * mask + y,))
copy = over_rows(lambda x: (x,))
copy_twice = over_rows(lambda x: (x, x))
plus = over_rows(lambda x, y: (x + y,))
total = over_rows(lambda x: (x,))
through_skip = over_rows(lambda D, dy, u: (D * dy, dy * u))  # du, Σ dD


@over_rows
def through_norm(mean: Lanes, rstd: Lanes, x: Lanes, du: Lanes, more: Lanes) -> tuple[Lanes, ...]:
    """du + more, and its sums dbias and dscale."""
    du = du + more
    return du, du, du * ((x - mean) * rstd)


@inner
def clear(x):  # type: ignore[no-untyped-def]
    """x = 0, flat."""
    for i in range(x.size):
        x[i] = 0


@inner
def gelu(y, constants, g):  # type: ignore[no-untyped-def]
    """g = gelu(y), flat."""
    slope, cubic, flat, one = constants[0], constants[1], constants[2], constants[3]
    for i in range(y.size):
        g[i] = gelu_at(y[i], slope, cubic, flat, one)


@inner
def gelu_and_slope(y, constants, g, dg):  # type: ignore[no-untyped-def]
    """g = gelu(y), dg = gelu′(y), flat."""
    slope, cubic, flat, one = constants[0], constants[1], constants[2], constants[3]
    for i in range(y.size):
        g[i], dg[i] = gelu_and_slope_at(y[i], slope, cubic, flat, one)


@inner
def through_gelu(dh, dg, slope, on_y, dy):  # type: ignore[no-untyped-def]
    """dy = (dh + dg) gelu′, or dh + dg gelu′ where the gate acts on y; flat."""
    if on_y:
        for i in range(dh.size):
            dy[i] = dh[i] + dg[i] * slope[i]
    else:
        for i in range(dh.size):
            dy[i] = (dh[i] + dg[i]) * slope[i]


@inner
def gate(h, z, one, out):  # type: ignore[no-untyped-def]
    """out = h σ(z), flat."""
    for i in range(h.size):
        out[i] = h[i] * sigmoid(z[i], one)


@inner
def gate_vjp(d, h, z, one, dh, dz):  # type: ignore[no-untyped-def]
    """dh = d σ(z), dz = d h σ(z)(1 − σ(z)), flat."""
    for i in range(d.size):
        s, t = sigmoid(z[i], one), sigmoid(-z[i], one)
        dh[i] = d[i] * s
        dz[i] = d[i] * h[i] * (s * t)
