"""BatchNorm in three passes over memory: mean, variance, normalise. Stands in for s5ref.nn.norm.batch_norm.

A job is one example; its sums over time are combined over the batch in order, as the reference does.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu.compile import compiled
from s5ref.cpu.parallel import run
from s5ref.nn import norm
from s5ref.nn.norm import BATCH_NORM_EPS, BatchNorm, Running


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNorm]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias. Masked statistics, and dtypes other than float32 and float64,
    run the reference.
    """
    if valid is not None or x.dtype.char not in "fd":
        return norm.batch_norm(x, scale, bias, running, momentum, training, valid)
    x = np.ascontiguousarray(x)
    N, L, H = x.shape
    count = None
    if training:
        count = np.full(1, N * L, x.dtype)
        part = np.empty((N, H), x.dtype)
        run(_sum, N, x, part)
        mean = part.sum(axis=0) / count
        run(_sum_squares, N, x, mean, part)
        var = part.sum(axis=0) / count
        running = Running(
            momentum * running.mean + (1 - momentum) * mean, momentum * running.var + (1 - momentum) * var
        )
    else:
        mean, var = running
    rstd = 1 / np.sqrt(var + BATCH_NORM_EPS)
    y = np.empty_like(x)
    run(_normalise, N, x, mean, scale * rstd, bias, y)
    return (y, running), BatchNorm(x, mean, rstd, scale, None, count)


def batch_norm_vjp(saved: BatchNorm, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias)."""
    x, mean, rstd, scale, valid, count = saved
    if valid is not None or x.dtype.char not in "fd":
        return norm.batch_norm_vjp(saved, dy)
    N, _L, H = x.shape
    dy = np.ascontiguousarray(np.broadcast_to(dy, x.shape), x.dtype)
    dscale, dbias = np.empty((N, H), x.dtype), np.empty((N, H), x.dtype)
    run(_sums_vjp, N, x, mean, rstd, dy, dscale, dbias)
    dscale, dbias = dscale.sum(axis=0), dbias.sum(axis=0)
    zero = np.zeros_like(scale)
    a, b = (zero, zero) if count is None else (dbias / count, dscale / count)
    dx = np.empty_like(x)
    run(_normalise_vjp, N, x, mean, rstd, dy, a, b, scale * rstd, dx)
    return dx, dscale, dbias


@compiled
def _sum(lo, hi, x, part):  # type: ignore[no-untyped-def]
    _N, L, H = x.shape
    for n in range(lo, hi):
        total = np.zeros(H, x.dtype)
        for k in range(L):
            row = x[n, k]
            for h in range(H):
                total[h] += row[h]
        part[n] = total


@compiled
def _sum_squares(lo, hi, x, mean, part):  # type: ignore[no-untyped-def]
    _N, L, H = x.shape
    for n in range(lo, hi):
        total = np.zeros(H, x.dtype)
        for k in range(L):
            row = x[n, k]
            for h in range(H):
                v = row[h] - mean[h]
                total[h] += v * v
        part[n] = total


@compiled
def _normalise(lo, hi, x, mean, factor, bias, y):  # type: ignore[no-untyped-def]
    _N, L, H = x.shape
    for n in range(lo, hi):
        for k in range(L):
            row, out = x[n, k], y[n, k]
            for h in range(H):
                out[h] = (row[h] - mean[h]) * factor[h] + bias[h]


@compiled
def _sums_vjp(lo, hi, x, mean, rstd, dy, dscale, dbias):  # type: ignore[no-untyped-def]
    _N, L, H = x.shape
    for n in range(lo, hi):
        ds, db = np.zeros(H, x.dtype), np.zeros(H, x.dtype)
        for k in range(L):
            row, d = x[n, k], dy[n, k]
            for h in range(H):
                ds[h] += d[h] * ((row[h] - mean[h]) * rstd[h])
                db[h] += d[h]
        dscale[n] = ds
        dbias[n] = db


@compiled
def _normalise_vjp(lo, hi, x, mean, rstd, dy, a, b, factor, dx):  # type: ignore[no-untyped-def]
    _N, L, H = x.shape
    for n in range(lo, hi):
        for k in range(L):
            row, d, out = x[n, k], dy[n, k], dx[n, k]
            for h in range(H):
                out[h] = (d[h] - a[h] - (row[h] - mean[h]) * rstd[h] * b[h]) * factor[h]
