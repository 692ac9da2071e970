"""BatchNorm over (batch, time): one pass over memory for the moments, one to normalise. LayerNorm: one pass.
Stand in for s5ref.nn.norm.

A job is a piece of one example. BatchNorm's mean and squares about that mean are taken of every piece while
it is in the cache, over its valid steps, and combined in order (Chan, Golub and LeVeque 1983), so that
nothing cancels.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu import memory
from s5ref.cpu.compile import REAL, broadcast, compiled, device_function, writeable
from s5ref.cpu.linear import in_order
from s5ref.cpu.parallel import run
from s5ref.cpu.simd import standardise_rows, standardise_vjp_rows
from s5ref.cpu.tile import (
    clear,
    normalise_rows,
    normalise_sums,
    normalise_vjp_rows,
    run_end,
    sum_rows,
    sum_squares,
)
from s5ref.nn import norm
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNormResiduals, LayerNormResiduals, Running
from s5ref.ranks import ALONE, Ranks, ranks_of

PIECE = 1024  # steps


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool | Ranks,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias. Dtypes other than float32 and float64, or more than one, run the
    reference.
    """
    if not _takes(x, scale, bias, *running):
        return norm.batch_norm(x, scale, bias, running, momentum, training, valid)
    given = scale, running, momentum, training, valid
    residuals, running = statistics_of(writeable(x, x.dtype), *given)
    x, mean, rstd, *_ = residuals
    y = memory.empty(x.shape, x.dtype)
    run(_normalise, len(x) * _pieces(x), x, _pieces(x), mean, scale * rstd, writeable(bias, x.dtype), y)
    return (y, running), residuals


def batch_norm_vjp(
    residuals: BatchNormResiduals, dy: Array, ranks: Ranks = ALONE
) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd = residuals.x, residuals.mean, residuals.rstd
    if not _takes(x, residuals.scale):
        return norm.batch_norm_vjp(residuals, dy, ranks)
    dy = broadcast(dy, x)
    sums = np.empty((len(x) * _pieces(x), 2, x.shape[2]), x.dtype)
    run(_sums_vjp, len(sums), x, _pieces(x), mean, rstd, dy, sums)
    dbias, dscale = in_order(sums)
    dx = dy.copy()
    normalise_vjp(residuals, dbias, dscale, np.zeros_like(dy[:, :1]), dx, ranks)
    return dx, dscale, dbias


def statistics_of(
    x: Array, scale: Array, running: Running, momentum: float, training: bool | Ranks,
    valid: Array | None,
) -> tuple[BatchNormResiduals, Running]:  # fmt: skip
    """What x (N, L, H), contiguous, is normalised with, as residuals of `batch_norm`; and the running
    statistics after it.
    """
    count, (mean, var) = None, (writeable(moment, x.dtype) for moment in running)
    if training:
        count, *batch = moments(x, steps_of(x, valid), ranks_of(training))
        mean, var = batch
        running = Running(*(momentum * r + (1 - momentum) * b for r, b in zip(running, batch, strict=True)))
    return BatchNormResiduals(x, mean, 1 / np.sqrt(var + BATCH_NORM_EPS), scale, valid, count), running


def steps_of(x: Array, valid: Array | None) -> Array:
    """Which steps of x (N, L, H) are valid, (N, L), from ``valid`` (N, L, 1); None: all."""
    return np.ones(x.shape[:2], bool) if valid is None else writeable(valid[:, :, 0], valid.dtype)


def moments(x: Array, valid: Array, ranks: Ranks) -> tuple[Array, Array, Array]:
    """The number (1,) of the valid steps of x (N, L, H), of all ranks, their mean (H,) and biased variance
    (H,).
    """
    N, _L, H = x.shape
    pieces = _pieces(x)
    parts, counts = np.empty((N * pieces, 2, H), x.dtype), np.empty((N * pieces, 1), x.dtype)
    run(_moments, N * pieces, x, valid, pieces, parts, counts)
    total, mean, squares = _combined(counts, parts[:, 0], parts[:, 1])
    if ranks.size > 1:
        of_all = ranks.gather(np.concatenate([total, mean, squares]))
        total, mean, squares = _combined(of_all[:, :1], of_all[:, 1 : H + 1], of_all[:, H + 1 :])
    return total, mean, squares / total


def _combined(counts: Array, means: Array, squares: Array) -> tuple[Array, Array, Array]:
    """Number, mean and sum of squares about it of several groups (groups, 1 or H) together."""
    total = counts.sum(axis=0)
    mean = (counts * means).sum(axis=0) / np.maximum(total, 1)
    return total, mean, (squares + counts * (means - mean) ** 2).sum(axis=0)


def normalise_vjp(
    residuals: BatchNormResiduals, dbias: Array, dscale: Array, skip: Array, dx: Array, ranks: Ranks
) -> None:
    """dx ← scale rstd (dx − dbias/n − x̂ dscale/n) + skip; without the sums at steps that are not valid, and
    where n, the count of the residuals, is None. The sums are those of all ranks. skip (N, L, H), or
    (N, 1, H) where it is the same at every step.
    """
    x, mean, rstd, scale, valid, count = residuals
    none = np.zeros_like(scale)
    a, b = (none, none) if count is None else ranks.total(np.stack([dbias, dscale])) / count
    rows = np.array([mean, rstd, a, b, scale * rstd, none])
    run(_normalise_vjp, len(x) * _pieces(x), x, steps_of(x, valid), _pieces(x), rows, skip, dx)


def layer_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, LayerNormResiduals]:
    """scale ∘ x̂ + bias over the features. Dtypes other than float32 and float64, or more than one, run the
    reference.
    """
    if not _takes(x, scale, bias):
        return norm.layer_norm(x, scale, bias)
    x = writeable(x, x.dtype)
    xhat, y = memory.empty(x.shape, x.dtype), memory.empty(x.shape, x.dtype)
    rstd = np.empty((*x.shape[:2], 1), x.dtype)
    rows = np.array([np.zeros_like(scale), scale, bias])
    run(_layer_norm, len(x) * _pieces(x), x, _pieces(x), rows, xhat, rstd, y)
    return y, LayerNormResiduals(xhat, rstd, scale)


def layer_norm_vjp(residuals: LayerNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    xhat, rstd, scale = residuals
    if not _takes(xhat, scale, dy):
        return norm.layer_norm_vjp(residuals, dy)
    dy = broadcast(dy, xhat)
    dx, sums = memory.empty(dy.shape, dy.dtype), np.empty((len(dy) * _pieces(dy), 2, dy.shape[2]), dy.dtype)
    rows = np.array([scale, np.zeros_like(scale), np.ones_like(scale)])
    run(_layer_norm_vjp, len(sums), dy, _pieces(dy), rows, (xhat, rstd), sums, dx)
    dbias, dscale = in_order(sums)
    return dx, dscale, dbias


def _takes(*arrays: Array) -> bool:
    """Whether the loops are compiled for the one dtype of all of them."""
    return arrays[0].dtype in REAL and len({a.dtype for a in arrays}) == 1


def _pieces(x: Array) -> int:
    """The number of pieces of each example."""
    return max(1, -(-int(x.shape[1]) // PIECE))


@device_function
def _piece(x, pieces, job):  # type: ignore[no-untyped-def]
    """(n, first step, last step) of a job. x (N, L, H)."""
    L, c = x.shape[1], job % pieces
    return job // pieces, L * c // pieces, L * (c + 1) // pieces


@compiled
def _moments(lo, hi, x, valid, pieces, parts, counts):  # type: ignore[no-untyped-def]
    """Of every job's valid rows the mean, and the sum of squares about it, into parts (jobs, 2, H), and their
    number, into counts (jobs, 1).
    """
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        mean, squares, count = parts[job, 0], parts[job, 1], 0
        clear(parts[job])
        t = first
        while t < last:
            end = run_end(valid[n], t, last)
            if valid[n, t]:
                sum_rows(x[n, t:end], mean)
                count += end - t
            t = end
        counts[job, 0] = count
        for h in range(mean.size):
            mean[h] /= max(count, 1)
        t = first
        while t < last:
            end = run_end(valid[n], t, last)
            if valid[n, t]:
                sum_squares(x[n, t:end], mean, squares)
            t = end


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
def _normalise_vjp(lo, hi, x, valid, pieces, rows, skip, dx):  # type: ignore[no-untyped-def]
    """dx of `normalise_vjp`, in place. rows (6, H): mean, rstd, dbias/n, dscale/n, scale ∘ rstd, 0."""
    mean, rstd, factor, none = rows[0], rows[1], rows[4], rows[5]
    for job in range(lo, hi):
        n, t, last = _piece(x, pieces, job)
        while t < last:
            end = run_end(valid[n], t, last)
            a, b = (rows[2], rows[3]) if valid[n, t] else (none, none)
            s = skip[n, t:end] if skip.shape[1] == x.shape[1] else skip[n]
            normalise_vjp_rows(dx[n, t:end], x[n, t:end], mean, rstd, a, b, factor, s)
            t = end


@compiled
def _layer_norm(lo, hi, x, pieces, rows, xhat, rstd, y):  # type: ignore[no-untyped-def]
    """y = scale ∘ x̂ + bias. rows (3, H): 0, scale, bias."""
    for job in range(lo, hi):
        n, first, last = _piece(x, pieces, job)
        standardise_rows(x[n, first:last], xhat[n, first:last], rstd[n, first:last, 0])
        normalise_rows(xhat[n, first:last], rows[0], rows[1], rows[2], y[n, first:last])


@compiled
def _layer_norm_vjp(lo, hi, dy, pieces, rows, standardised, sums, dx):  # type: ignore[no-untyped-def]
    """dx, and Σ dy and Σ dy ∘ x̂ of every job's rows, into sums (jobs, 2, H). rows (3, H): scale, 0, 1;
    standardised: x̂ and 1/σ.
    """
    xhat, rstd = standardised
    for job in range(lo, hi):
        n, first, last = _piece(dy, pieces, job)
        d, z = dy[n, first:last], xhat[n, first:last]
        clear(sums[job])
        normalise_sums(z, rows[1], rows[2], d, sums[job, 0], sums[job, 1])
        standardise_vjp_rows(d, rows[0], z, rstd[n, first:last, 0], rows[1:2], dx[n, first:last])
