"""State matrices by their definitions: LegS, its normal part, FouT, the diagonal starts of S4D, and the
DPLR form.

Sources: HiPPO (Gu et al., 2020); S4 (Gu, Goel, Ré, 2022), theorem 1; S4D (Gu et al., 2022), section 4;
How to Train Your HiPPO (Gu et al., 2023) for FouT.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import schur

F64 = npt.NDArray[np.float64]
C128 = npt.NDArray[np.complex128]

S4D_STARTS = ("LegS", "Inv", "Lin", "Real", "FouT")


class Matrices(NamedTuple):
    """x′ = A x + B u with A + P Pᵀ normal."""

    A: F64
    B: F64
    P: F64


class DPLR(NamedTuple):
    """A = diag(Λ) − P Q* in the coordinates V: x = V z, V unitary. B is (N, H)."""

    Lambda: C128
    P: C128
    Q: C128
    B: C128
    V: C128

    def dense(self) -> C128:
        """diag(Λ) − P Q*."""
        return np.asarray(np.diag(self.Lambda) - np.outer(self.P, self.Q.conj()))


def legs(N: int) -> Matrices:
    """A[n, k] = −√(2n+1)√(2k+1) (n > k), −(n+1) (n = k), 0 (n < k); B = √(2n+1); P = √(n+½)."""
    n = np.arange(N)
    B = np.sqrt(2 * n + 1)
    return Matrices(-np.tril(np.outer(B, B), -1) - np.diag(n + 1.0), B, np.sqrt(n + 0.5))


def fout(N: int) -> Matrices:
    """A = π(−diag(d, +1) + diag(d, −1)) − B Bᵀ, d = [0, 0, 1, 0, 2, 0, 3, …], B = [1, 0, √2, 0, √2, …], P =
    B; N even."""
    d = np.zeros(N - 1)
    d[2::2] = np.arange(1, N // 2)
    B = np.zeros(N)
    B[::2], B[0] = 2**0.5, 1.0
    skew = np.pi * (np.diag(d, -1) - np.diag(d, 1))
    return Matrices(skew - np.outer(B, B), B, B)


def normal_part(m: Matrices) -> F64:
    """A + P Pᵀ: for LegS −½ I plus a skew matrix, for FouT a skew matrix."""
    return np.asarray(m.A + np.outer(m.P, m.P))


def dplr(m: Matrices, low_rank: bool = True, inputs: F64 | None = None) -> DPLR:
    """A by its low-rank correction of the normal part, or (``low_rank=False``) the normal part alone: P = Q
    = 0.

    The complex Schur form of a normal matrix is diagonal, and its V unitary. ``inputs`` (N, H) replaces B.
    """
    T, V = schur(normal_part(m), output="complex")
    P = V.conj().T @ m.P * (1.0 if low_rank else 0.0)
    B = m.B[:, None] if inputs is None else inputs
    return DPLR(np.diag(T).copy(), P, P, V.conj().T @ B, V)


def clamped(Lambda: C128, margin: float = 1e-4) -> C128:
    """min(Re Λ, −margin) + i Im Λ, as the official code: FouT has a zero pair, at which its kernel has a
    pole on the circle."""
    return np.asarray(np.minimum(Lambda.real, -margin) + 1j * Lambda.imag)


def s4d_start(name: str, N: int) -> tuple[C128, C128]:
    """(A, B) of S4D, each (N/2,): one of each conjugate pair, that of negative imaginary part.

    LegS  eigenvalues of the normal part, B = V* B_LegS     Inv  −½ − i(N/π)(N/(2n+1) − 1)     Lin  −½ − iπn
    Real  −(n+1)     FouT  eigenvalues of its skew part, −iπn: 0 is one of them     B = 1 except for LegS
    """
    n = np.arange(N // 2)
    one = np.ones(N // 2, dtype=np.complex128)
    if name == "LegS":
        form = dplr(legs(N), low_rank=False)
        kept = np.argsort(form.Lambda.imag)[: N // 2]
        return form.Lambda[kept], form.B[kept, 0]
    if name == "FouT":
        frequencies = np.sort(dplr(fout(N), low_rank=False).Lambda.imag)
        return -1j * np.abs(frequencies[: N // 2]), one
    starts = {
        "Inv": -0.5 - 1j * (N / np.pi) * (N / (2 * n + 1) - 1),
        "Lin": -0.5 - 1j * np.pi * n,
        "Real": -(n + 1.0) + 0j,
    }
    return np.asarray(starts[name], dtype=np.complex128), one
