"""The blocked parallel scan in Numba. Stands in for s5ref.ssm.scan.sequential_scan.

Three phases over chunks of the sequence: every chunk reduces to its final state and the product of its
multipliers, the carries run across chunks, and every chunk scans from its carry. Real and imaginary parts
travel in separate local carries, state index innermost. A batch of at least JOBS sequences is parallel enough
as it is: one chunk each, and only the last phase.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array, real_dtype
from s5ref.cpu.compile import COMPLEX, compiled, plain
from s5ref.cpu.parallel import run
from s5ref.ssm.scan import ScanResiduals, blocked_scan, blocked_scan_vjp, checked

JOBS = 8  # a batch smaller than this is cut along time as well
MIN_CHUNK = 256


def scan(
    Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], ScanResiduals]:
    """x_k = Λ̄_k x_{k−1} + Bu_k; see `s5ref.ssm.scan`. Dtypes other than complex64 and complex128 run the
    NumPy kernel.
    """
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    if Bu.dtype not in COMPLEX:
        return blocked_scan(Lambda_bar, Bu, x0, reverse)
    Bu = plain(Bu, Bu.dtype)
    a, varying = _multipliers(Lambda_bar, Bu)
    N, L, _P = Bu.shape
    chunks = chunks_of(N, L)
    starts = _starts(a, varying, False, Bu, x0, reverse, chunks)
    x = np.empty_like(Bu)
    run(_scan, N * chunks, _pairs(a), varying, _pairs(Bu), _pairs(x), _pairs(starts), chunks, reverse)
    return (x, x[:, 0] if reverse else x[:, L - 1]), ScanResiduals(Lambda_bar, x, x0, reverse)


def scan_vjp(residuals: ScanResiduals, d: tuple[Array, Array | None]) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None."""
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    if x.dtype not in COMPLEX:
        return blocked_scan_vjp(residuals, d)
    N, L, P = x.shape
    source = np.zeros_like(x) if dx is None else plain(np.broadcast_to(dx, x.shape), x.dtype)
    a, varying = _multipliers(Lambda_bar, x)
    chunks = chunks_of(N, L)
    starts = _starts(a, varying, True, source, dx_last, not reverse, chunks)
    start = np.zeros((N, P), x.dtype) if x0 is None else plain(x0, x.dtype)
    g = np.empty_like(x)
    da = np.empty((N, L, P) if varying else (N * chunks, 1, P), x.dtype)
    run(
        _adjoint,
        N * chunks,
        _pairs(a),
        varying,
        _pairs(source),
        _pairs(x),
        _pairs(start),
        _pairs(g),
        _pairs(da),
        _pairs(starts),
        chunks,
        reverse,
    )
    if not varying:
        da = np.sum(da.reshape(N, chunks, P).sum(axis=1), axis=0)
    first = L - 1 if reverse else 0
    return da, g, np.conj(Lambda_bar if not varying else Lambda_bar[:, first]) * g[:, first]


def chunks_of(N: int, L: int) -> int:
    """The number of chunks of each sequence, by the shape alone."""
    return max(1, min(-(-JOBS // N), L // MIN_CHUNK))


def _starts(
    a: Array, varying: bool, adjoint: bool, b: Array, x0: Array | None, reverse: bool, chunks: int
) -> Array:
    """The state with which each chunk starts, (N, chunks, P): phases one and two.

    ``adjoint``: the multiplier of step k is conj(a) of the step that the scan of the forward pass does after
    k; the first step has none, so that the cotangent of the final state, passed as x0, enters it as it is.
    """
    N, _L, P = b.shape
    starts = np.zeros((N, chunks, P), b.dtype)
    if x0 is not None:
        starts[:, 0] = x0
    if chunks == 1:
        return starts
    ends, products = np.empty_like(starts), np.empty_like(starts)
    run(
        _reduce,
        N * chunks,
        _pairs(a),
        varying,
        adjoint,
        _pairs(b),
        _pairs(ends),
        _pairs(products),
        chunks,
        reverse,
    )
    for c in range(1, chunks):
        starts[:, c] = products[:, c - 1] * starts[:, c - 1] + ends[:, c - 1]
    return starts


def _multipliers(Lambda_bar: Array, like: Array) -> tuple[Array, bool]:
    """Λ̄ as a contiguous (N, L, P), or (1, 1, P) where it is constant, and whether it varies."""
    varying = Lambda_bar.ndim == 3
    return plain(Lambda_bar if varying else Lambda_bar[None, None], like.dtype), varying


def _pairs(z: Array) -> Array:
    """Contiguous complex (…, P) as real (…, 2P)."""
    return z.view(real_dtype(z))


@compiled
def _scan(lo, hi, a, varying, b, x, starts, chunks, reverse):  # type: ignore[no-untyped-def]
    _N, L, P2 = b.shape
    P = P2 // 2
    re, im = np.empty(P, b.dtype), np.empty(P, b.dtype)
    for job in range(lo, hi):
        n, c = job // chunks, job % chunks
        for p in range(P):
            re[p], im[p] = starts[n, c, 2 * p], starts[n, c, 2 * p + 1]
        for i in range(L * c // chunks, L * (c + 1) // chunks):
            k = L - 1 - i if reverse else i
            ak = a[n, k] if varying else a[0, 0]
            bk, xk = b[n, k], x[n, k]
            for p in range(P):
                r = ak[2 * p] * re[p] - ak[2 * p + 1] * im[p] + bk[2 * p]
                m = ak[2 * p] * im[p] + ak[2 * p + 1] * re[p] + bk[2 * p + 1]
                re[p], im[p] = r, m
                xk[2 * p], xk[2 * p + 1] = r, m


@compiled
def _reduce(lo, hi, a, varying, adjoint, b, ends, products, chunks, reverse):  # type: ignore[no-untyped-def]
    _N, L, P2 = b.shape
    P = P2 // 2
    for job in range(lo, hi):
        n, c = job // chunks, job % chunks
        end, product = ends[n, c], products[n, c]
        for p in range(P):
            end[2 * p] = end[2 * p + 1] = product[2 * p + 1] = 0
            product[2 * p] = 1
        for i in range(L * c // chunks, L * (c + 1) // chunks):
            k = L - 1 - i if reverse else i
            if adjoint and i == 0:
                for p in range(P2):
                    end[p] = b[n, k, p]
                continue
            ka = k if not adjoint else (k + 1 if reverse else k - 1)
            ak = a[n, ka] if varying else a[0, 0]
            bk = b[n, k]
            for p in range(P):
                ar = ak[2 * p]
                ai = -ak[2 * p + 1] if adjoint else ak[2 * p + 1]
                er, ei, pr, pi = end[2 * p], end[2 * p + 1], product[2 * p], product[2 * p + 1]
                end[2 * p] = ar * er - ai * ei + bk[2 * p]
                end[2 * p + 1] = ar * ei + ai * er + bk[2 * p + 1]
                product[2 * p] = ar * pr - ai * pi
                product[2 * p + 1] = ar * pi + ai * pr


@compiled
def _adjoint(lo, hi, a, varying, dx, x, x0, g, da, starts, chunks, reverse):  # type: ignore[no-untyped-def]
    _N, L, P2 = dx.shape
    P = P2 // 2
    re, im = np.empty(P, dx.dtype), np.empty(P, dx.dtype)
    sr, si = np.empty(P, dx.dtype), np.empty(P, dx.dtype)
    for job in range(lo, hi):
        n, c = job // chunks, job % chunks
        for p in range(P):
            re[p], im[p] = starts[n, c, 2 * p], starts[n, c, 2 * p + 1]
            sr[p] = si[p] = 0
        for i in range(L * c // chunks, L * (c + 1) // chunks):
            k = i if reverse else L - 1 - i  # against the forward scan
            before = k + 1 if reverse else k - 1  # the step that the forward scan did before k
            if i > 0:
                after = k - 1 if reverse else k + 1
                ak = a[n, after] if varying else a[0, 0]
                for p in range(P):
                    r = ak[2 * p] * re[p] + ak[2 * p + 1] * im[p]
                    im[p] = ak[2 * p] * im[p] - ak[2 * p + 1] * re[p]
                    re[p] = r
            dk, gk = dx[n, k], g[n, k]
            for p in range(P):
                re[p] += dk[2 * p]
                im[p] += dk[2 * p + 1]
                gk[2 * p], gk[2 * p + 1] = re[p], im[p]
            xb = x[n, before] if i < L - 1 else x0[n]
            if varying:
                dak = da[n, k]
                for p in range(P):
                    dak[2 * p] = re[p] * xb[2 * p] + im[p] * xb[2 * p + 1]
                    dak[2 * p + 1] = im[p] * xb[2 * p] - re[p] * xb[2 * p + 1]
            else:
                for p in range(P):
                    sr[p] += re[p] * xb[2 * p] + im[p] * xb[2 * p + 1]
                    si[p] += im[p] * xb[2 * p] - re[p] * xb[2 * p + 1]
        if not varying:
            for p in range(P):
                da[job, 0, 2 * p], da[job, 0, 2 * p + 1] = sr[p], si[p]
