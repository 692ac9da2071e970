"""BatchNorm over (batch, time): one pass over memory for the moments, one to normalise. Stands in for
s5ref.nn.norm.batch_norm.

A job is a piece of one example; its mean and its squares about that mean are taken while it is in the cache,
and combined in order (Chan, Golub and LeVeque 1983), so that nothing cancels.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.compile import REAL, compiled, inner, plain
from s5ref.cpu.linear import in_order
from s5ref.cpu.parallel import run
from s5ref.nn import norm
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNormResiduals, Running

PIECE = 1024  # steps


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias. Masked statistics, and dtypes other than float32 and float64,
    run the reference.
    """
    if valid is not None or x.dtype not in REAL:
        return norm.batch_norm(x, scale, bias, running, momentum, training, valid)
    x = plain(x, x.dtype)
    N, L, _H = x.shape
    count = None
    mean, var = running
    if training:
        count = np.full(1, N * L, x.dtype)
        mean, var = moments(x)
        running = Running(
            momentum * running.mean + (1 - momentum) * mean, momentum * running.var + (1 - momentum) * var
        )
    rstd = 1 / np.sqrt(var + BATCH_NORM_EPS)
    y = memory.empty(x.shape, x.dtype)
    run(_normalise, N * _pieces(x), x, _pieces(x), mean, scale * rstd, bias, y)
    return (y, running), BatchNormResiduals(x, mean, rstd, scale, None, count)


def batch_norm_vjp(residuals: BatchNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd, scale, valid, count = residuals
    if valid is not None or x.dtype not in REAL:
        return norm.batch_norm_vjp(residuals, dy)
    dy = plain(np.broadcast_to(dy, x.shape), x.dtype)
    sums = np.empty((len(x) * _pieces(x), 2, x.shape[2]), x.dtype)
    run(_sums_vjp, len(sums), x, _pieces(x), mean, rstd, dy, sums)
    dbias, dscale = in_order(sums)
    dx = dy.copy()
    normalise_vjp(x, mean, rstd, scale, count, dbias, dscale, np.zeros_like(dy[:, :1]), dx)
    return dx, dscale, dbias


def moments(x: Array) -> tuple[Array, Array]:
    """Mean (H,) and biased variance (H,) of x (N, L, H) over its first two axes."""
    N, L, H = x.shape
    pieces = _pieces(x)
    parts = np.empty((N * pieces, 2, H), x.dtype)
    run(_moments, N * pieces, x, pieces, parts)
    lengths = [L * (i + 1) // pieces - L * i // pieces for i in range(pieces)]
    counts, total = np.array(lengths * N, x.dtype)[:, None], x.dtype.type(N * L)
    means, squares = parts[:, 0], parts[:, 1]
    mean = (counts * means).sum(axis=0) / total
    between = counts * (means - mean) ** 2
    return mean, (squares + between).sum(axis=0) / total


def normalise_vjp(
    x: Array, mean: Array, rstd: Array, scale: Array, count: Array | None, dbias: Array, dscale: Array,
    skip: Array, dx: Array,
) -> None:  # fmt: skip
    """dx ← scale rstd (dx − dbias/n − x̂ dscale/n) + skip; without the sums where count is None. skip (N, L,
    H), or (N, 1, H) where it is the same at every step.
    """
    zero = np.zeros_like(scale)
    a, b = (zero, zero) if count is None else (dbias / count, dscale / count)
    run(_normalise_vjp, len(x) * _pieces(x), x, _pieces(x), mean, rstd, a, b, scale * rstd, skip, dx)


def _pieces(x: Array) -> int:
    """The number of pieces of each example."""
    L: int = x.shape[1]
    return max(1, -(-L // PIECE))


@inner
def _piece(x, pieces, job):  # type: ignore[no-untyped-def]
    """(n, first step, last step) of a job."""
    L, c = x.shape[1], job % pieces
    return job // pieces, L * c // pieces, L * (c + 1) // pieces


@compiled
def _moments(lo, hi, x, pieces, parts):  # type: ignore[no-untyped-def]
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        rows, mean, squares = x[n, first:last], parts[job, 0], parts[job, 1]
        for h in range(mean.size):
            mean[h] = squares[h] = 0
        for k in range(last - first):
            row = rows[k]
            for h in range(row.size):
                mean[h] += row[h]
        for h in range(mean.size):
            mean[h] /= last - first
        for k in range(last - first):
            row = rows[k]
            for h in range(row.size):
                v = row[h] - mean[h]
                squares[h] += v * v


@compiled
def _normalise(lo, hi, x, pieces, mean, factor, bias, y):  # type: ignore[no-untyped-def]
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        rows, outs = x[n, first:last], y[n, first:last]
        for k in range(last - first):
            row, out = rows[k], outs[k]
            for h in range(row.size):
                out[h] = (row[h] - mean[h]) * factor[h] + bias[h]


@compiled
def _sums_vjp(lo, hi, x, pieces, mean, rstd, dy, sums):  # type: ignore[no-untyped-def]
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        rows, drows, db, ds = x[n, first:last], dy[n, first:last], sums[job, 0], sums[job, 1]
        for h in range(db.size):
            db[h] = ds[h] = 0
        for k in range(last - first):
            row, d = rows[k], drows[k]
            for h in range(row.size):
                db[h] += d[h]
                ds[h] += d[h] * ((row[h] - mean[h]) * rstd[h])


@compiled
def _normalise_vjp(lo, hi, x, pieces, mean, rstd, a, b, factor, skip, dx):  # type: ignore[no-untyped-def]
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        rows, skips, outs = x[n, first:last], skip[n], dx[n, first:last]
        for k in range(last - first):
            row, s, out = rows[k], skips[first + k if skips.shape[0] > 1 else 0], outs[k]
            for h in range(row.size):
                out[h] = (out[h] - a[h] - (row[h] - mean[h]) * rstd[h] * b[h]) * factor[h] + s[h]
