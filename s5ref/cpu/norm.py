"""BatchNorm over (batch, time): one pass over memory for the moments, one to normalise. Stands in for
s5ref.nn.norm.batch_norm.

A job is a piece of one example; its mean and its squares about that mean are taken while it is in the cache,
and combined in order (Chan, Golub and LeVeque 1983), so that nothing cancels.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.compile import REAL, broadcast, compiled, device_function, writeable
from s5ref.cpu.linear import in_order
from s5ref.cpu.parallel import run
from s5ref.cpu.tile import (
    clear,
    normalise_rows,
    normalise_sums,
    normalise_vjp_rows,
    sum_rows,
    sum_squares,
)
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
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias. Masked statistics, and dtypes other than float32 and float64, or
    more than one, run the reference.
    """
    mixed = any(a.dtype != x.dtype for a in (scale, bias, *running))
    if valid is not None or mixed or x.dtype not in REAL:
        return norm.batch_norm(x, scale, bias, running, momentum, training, valid)
    residuals, running = statistics_of(writeable(x, x.dtype), scale, running, momentum, training)
    x, mean, rstd, *_ = residuals
    y = memory.empty(x.shape, x.dtype)
    run(_normalise, len(x) * _pieces(x), x, _pieces(x), mean, scale * rstd, writeable(bias, x.dtype), y)
    return (y, running), residuals


def batch_norm_vjp(residuals: BatchNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd = residuals.x, residuals.mean, residuals.rstd
    if residuals.valid is not None or residuals.scale.dtype != x.dtype or x.dtype not in REAL:
        return norm.batch_norm_vjp(residuals, dy)
    dy = broadcast(dy, x)
    sums = np.empty((len(x) * _pieces(x), 2, x.shape[2]), x.dtype)
    run(_sums_vjp, len(sums), x, _pieces(x), mean, rstd, dy, sums)
    dbias, dscale = in_order(sums)
    dx = dy.copy()
    normalise_vjp(residuals, dbias, dscale, np.zeros_like(dy[:, :1]), dx)
    return dx, dscale, dbias


def statistics_of(
    x: Array, scale: Array, running: Running, momentum: float, training: bool
) -> tuple[BatchNormResiduals, Running]:
    """What x (N, L, H), contiguous, is normalised with, as residuals of `batch_norm`; and the running
    statistics after it.
    """
    count, (mean, var) = None, (writeable(moment, x.dtype) for moment in running)
    if training:
        count = np.full(1, x.shape[0] * x.shape[1], x.dtype)
        batch = mean, var = moments(x)
        running = Running(*(momentum * r + (1 - momentum) * b for r, b in zip(running, batch, strict=True)))
    return BatchNormResiduals(x, mean, 1 / np.sqrt(var + BATCH_NORM_EPS), scale, None, count), running


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


def normalise_vjp(residuals: BatchNormResiduals, dbias: Array, dscale: Array, skip: Array, dx: Array) -> None:
    """dx ← scale rstd (dx − dbias/n − x̂ dscale/n) + skip; without the sums where n, the count of
    ``saved``, is None. skip (N, L, H), or (N, 1, H) where it is the same at every step.
    """
    x, mean, rstd, scale, _, count = residuals
    none = np.zeros_like(scale)
    a, b = (none, none) if count is None else (dbias / count, dscale / count)
    rows = np.array([mean, rstd, a, b, scale * rstd])
    run(_normalise_vjp, len(x) * _pieces(x), x, _pieces(x), rows, skip, dx)


def _pieces(x: Array) -> int:
    """The number of pieces of each example."""
    return max(1, -(-int(x.shape[1]) // PIECE))


@device_function
def _piece(x, pieces, job):  # type: ignore[no-untyped-def]
    """(n, first step, last step) of a job. x (N, L, H)."""
    L, c = x.shape[1], job % pieces
    return job // pieces, L * c // pieces, L * (c + 1) // pieces


@compiled
def _moments(lo, hi, x, pieces, parts):  # type: ignore[no-untyped-def]
    """Of every job's rows the mean, and the sum of squares about it, into parts (jobs, 2, H)."""
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        rows, mean, squares = x[n, first:last], parts[job, 0], parts[job, 1]
        clear(parts[job])
        sum_rows(rows, mean)
        for h in range(mean.size):
            mean[h] /= last - first
        sum_squares(rows, mean, squares)


@compiled
def _normalise(lo, hi, x, pieces, mean, factor, bias, y):  # type: ignore[no-untyped-def]
    """y = (x − mean) ∘ factor + bias."""
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        normalise_rows(x[n, first:last], mean, factor, bias, y[n, first:last])


@compiled
def _sums_vjp(lo, hi, x, pieces, mean, rstd, dy, sums):  # type: ignore[no-untyped-def]
    """Σ dy and Σ dy ∘ x̂ of every job's rows, into sums (jobs, 2, H)."""
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        clear(sums[job])
        normalise_sums(x[n, first:last], mean, rstd, dy[n, first:last], sums[job, 0], sums[job, 1])


@compiled
def _normalise_vjp(lo, hi, x, pieces, rows, skip, dx):  # type: ignore[no-untyped-def]
    """dx of `normalise_vjp`, in place. rows (5, H): mean, rstd, dbias/n, dscale/n, scale ∘ rstd."""
    mean, rstd, dbias, dscale, factor = rows[0], rows[1], rows[2], rows[3], rows[4]
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        s = skip[n, first:last] if skip.shape[1] == x.shape[1] else skip[n]
        normalise_vjp_rows(dx[n, first:last], x[n, first:last], mean, rstd, dbias, dscale, factor, s)
