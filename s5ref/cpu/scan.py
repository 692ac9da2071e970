"""The blocked parallel scan in Numba. Stands in for s5ref.ssm.scan.sequential_scan.

Three phases over chunks of the sequence: every chunk reduces to its final state and the product of its
multipliers, the carries run across chunks, and every chunk scans from its carry. Real and imaginary parts
travel in separate local carries, state index innermost. A batch of at least JOBS sequences is parallel enough
as it is: one chunk each, and only the last phase.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, real_dtype
from s5ref.cpu.compile import COMPLEX, broadcast, compiled, writeable
from s5ref.cpu.parallel import run
from s5ref.ssm.scan import ScanResiduals, blocked_scan, blocked_scan_vjp, checked

JOBS = 8  # a batch smaller than this is cut along time as well
MIN_CHUNK = 256


class Multipliers(NamedTuple):
    """Λ̄ for compiled code: a (N, L, 2P') where it is ``varying``, else (1, 1, 2P'), complex numbers as
    pairs; the number of ``chunks`` of a sequence; whether the scan is ``reverse``.
    """

    a: Array
    varying: bool
    chunks: int
    reverse: bool


def scan(
    Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], ScanResiduals]:
    """x_k = Λ̄_k x_{k−1} + Bu_k; see `s5ref.ssm.scan`. Dtypes other than complex64 and complex128 run the
    NumPy kernel.
    """
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    if Bu.dtype not in COMPLEX:
        return blocked_scan(Lambda_bar, Bu, x0, reverse)
    Bu = writeable(Bu, Bu.dtype)
    N, L, _P = Bu.shape
    multipliers = _multipliers(Lambda_bar, Bu, reverse)
    starts = _starts(multipliers, Bu, x0, adjoint=False)
    x = np.empty_like(Bu)
    run(_scan, N * multipliers.chunks, multipliers, _pairs(Bu), _pairs(starts), _pairs(x))
    return (x, x[:, 0] if reverse else x[:, L - 1]), ScanResiduals(Lambda_bar, x, x0, reverse)


def scan_vjp(residuals: ScanResiduals, d: tuple[Array, Array | None]) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None."""
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    if x.dtype not in COMPLEX:
        return blocked_scan_vjp(residuals, d)
    N, L, P = x.shape
    source = np.zeros_like(x) if dx is None else broadcast(dx, x)
    multipliers = _multipliers(Lambda_bar, x, reverse)
    starts = _starts(multipliers._replace(reverse=not reverse), source, dx_last, adjoint=True)
    start = np.zeros((N, P), x.dtype) if x0 is None else writeable(x0, x.dtype)
    g = np.empty_like(x)
    varying, jobs = multipliers.varying, N * multipliers.chunks
    da = np.empty((N, L, P) if varying else (jobs, 1, P), x.dtype)
    given = tuple(map(_pairs, (source, x, start, starts)))
    run(_adjoint, jobs, multipliers, given, _pairs(g), _pairs(da))
    if not varying:
        da = np.sum(da.reshape(N, -1, P).sum(axis=1), axis=0)
    first = L - 1 if reverse else 0
    return da, g, np.conj(Lambda_bar if not varying else Lambda_bar[:, first]) * g[:, first]


def chunks_of(N: int, L: int) -> int:
    """The number of chunks of each sequence, by the shape alone."""
    return max(1, min(-(-JOBS // N), L // MIN_CHUNK))


def _starts(multipliers: Multipliers, b: Array, x0: Array | None, adjoint: bool) -> Array:
    """The state with which each chunk starts, (N, chunks, P): phases one and two. b (N, L, P), x0 (N, P)
    or None.

    ``adjoint``: the multiplier of step k is conj(a) of the step that the scan of the forward pass does after
    k; the first step has none, so that the cotangent of the final state, passed as x0, enters it as it is.
    """
    N, _L, P = b.shape
    chunks = multipliers.chunks
    starts = np.zeros((N, chunks, P), b.dtype)
    if x0 is not None:
        starts[:, 0] = x0
    if chunks == 1:
        return starts
    ends, products = np.empty_like(starts), np.empty_like(starts)
    run(_reduce, N * chunks, multipliers, adjoint, _pairs(b), _pairs(ends), _pairs(products))
    for c in range(1, chunks):
        starts[:, c] = products[:, c - 1] * starts[:, c - 1] + ends[:, c - 1]
    return starts


def _multipliers(Lambda_bar: Array, like: Array, reverse: bool) -> Multipliers:
    """Those of a scan of the shape (N, L, P) of ``like``."""
    varying = Lambda_bar.ndim == 3
    a = _pairs(writeable(Lambda_bar if varying else Lambda_bar[None, None], like.dtype))
    return Multipliers(a, varying, chunks_of(*like.shape[:2]), reverse)


def _pairs(z: Array) -> Array:
    """Contiguous complex (…, P) as real (…, 2P)."""
    return z.view(real_dtype(z))


@partial(compiled, allocates=True)
def _scan(lo, hi, multipliers, b, starts, x):  # type: ignore[no-untyped-def]
    """x (N, L, 2P') from b (N, L, 2P') and the starts (N, chunks, 2P'): phase three. Jobs n · chunks + c."""
    a, varying, chunks, reverse = multipliers
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
def _reduce(lo, hi, multipliers, adjoint, b, ends, products):  # type: ignore[no-untyped-def]
    """What a chunk makes of a start s: products s + ends, both (N, chunks, 2P'); b (N, L, 2P'): phase one."""
    a, varying, chunks, reverse = multipliers
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


@partial(compiled, allocates=True)
def _adjoint(lo, hi, multipliers, given, g, da):  # type: ignore[no-untyped-def]
    """g = dBu (N, L, 2P') and dΛ̄, or its sum over a job's steps where it is constant, from what is given:
    dx and x (N, L, 2P'), the state x0 (N, 2P') before the first step, and the starts (N, chunks, 2P') of
    the cotangents.
    """
    a, varying, chunks, reverse = multipliers
    dx, x, x0, starts = given
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
