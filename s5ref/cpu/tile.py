"""What is done to one tile of rows while it is in the cache: compiled loops, each one idea.

Loops whose operands have one shape run flat: over rows, the end of every row would go one element at a time,
which is dear where an element costs an exponential. ``constants`` are those of
`s5ref.cpu.elementwise.gelu_constants`.
"""

from __future__ import annotations

import numpy as np

from s5ref.cpu.compile import inner
from s5ref.cpu.elementwise import gelu_and_slope_at, gelu_at
from s5ref.cpu.exp import sigmoid

TILE = 256  # rows: what a tile touches stays in the second-level cache


@inner
def rows_of_tile(rows):  # type: ignore[no-untyped-def]
    """The size of the parts, equal but for the last, into which ``rows`` rows are cut."""
    return -(-rows // (1 + (rows - 1) // TILE))


@inner
def product(a, b, out):  # type: ignore[no-untyped-def]
    """out = a b, one single-threaded BLAS product; in a function of its own, which is compiled once."""
    np.dot(a, b, out)


@inner
def normalise(x, mean, factor, bias, u):  # type: ignore[no-untyped-def]
    """u = (x − mean) ∘ factor + bias."""
    for k in range(x.shape[0]):
        for h in range(x.shape[1]):
            u[k, h] = (x[k, h] - mean[h]) * factor[h] + bias[h]


@inner
def add_product(y, u, D):  # type: ignore[no-untyped-def]
    """y += D ∘ u."""
    for k in range(y.shape[0]):
        for h in range(y.shape[1]):
            y[k, h] += D[h] * u[k, h]


@inner
def add_row(z, b):  # type: ignore[no-untyped-def]
    """z += b."""
    for k in range(z.shape[0]):
        for h in range(z.shape[1]):
            z[k, h] += b[h]


@inner
def scale_columns(g, mask):  # type: ignore[no-untyped-def]
    """g ← g ∘ mask."""
    for k in range(g.shape[0]):
        for h in range(g.shape[1]):
            g[k, h] *= mask[h]


@inner
def add_rows(total, more):  # type: ignore[no-untyped-def]
    """total += more."""
    for k in range(total.shape[0]):
        for h in range(total.shape[1]):
            total[k, h] += more[k, h]


@inner
def copy_rows(x, y):  # type: ignore[no-untyped-def]
    """y = x, or every row of y the only one of x."""
    one = x.shape[0] == 1
    for k in range(y.shape[0]):
        for h in range(y.shape[1]):
            y[k, h] = x[0 if one else k, h]


@inner
def sum_rows(x, total):  # type: ignore[no-untyped-def]
    """total = Σ x over rows."""
    for h in range(total.size):
        total[h] = 0
    for k in range(x.shape[0]):
        for h in range(x.shape[1]):
            total[h] += x[k, h]


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


@inner
def through_skip(dy, u, D, du, dD):  # type: ignore[no-untyped-def]
    """du = D ∘ dy, dD = Σ dy ∘ u."""
    for h in range(dD.size):
        dD[h] = 0
    for k in range(dy.shape[0]):
        for h in range(dy.shape[1]):
            du[k, h] = D[h] * dy[k, h]
        for h in range(dy.shape[1]):
            dD[h] += dy[k, h] * u[k, h]


@inner
def add_and_sum(x, mean, rstd, more, du, dbias, dscale):  # type: ignore[no-untyped-def]
    """du += more; dbias = Σ du, dscale = Σ du (x − mean) rstd."""
    for h in range(dbias.size):
        dbias[h] = dscale[h] = 0
    for k in range(x.shape[0]):
        for h in range(x.shape[1]):
            du[k, h] += more[k, h]
        for h in range(x.shape[1]):
            dbias[h] += du[k, h]
        for h in range(x.shape[1]):
            dscale[h] += du[k, h] * ((x[k, h] - mean[h]) * rstd[h])


@inner
def to_both(source, rows):  # type: ignore[no-untyped-def]
    """Each half of ``rows`` = source."""
    P2 = source.shape[1]
    for k in range(source.shape[0]):
        for p in range(P2):
            rows[k, p] = source[k, p]
        for p in range(P2):
            rows[k, P2 + p] = source[k, p]


@inner
def sum_of_both(rows, total):  # type: ignore[no-untyped-def]
    """total = the sum of the halves of ``rows``."""
    P2 = total.shape[1]
    for k in range(total.shape[0]):
        for p in range(P2):
            total[k, p] = rows[k, p] + rows[k, P2 + p]
