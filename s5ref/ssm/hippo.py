"""HiPPO-LegS, its normal part, and the diagonal state matrix that S5 starts from.

Derivation: docs/derivations/hippo.md. Source: S5 paper, section 3.1 and appendix B; HiPPO (Gu et al., 2020).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s5ref.errors import ConfigError

F64 = npt.NDArray[np.float64]
C128 = npt.NDArray[np.complex128]


def legs(n: int) -> F64:
    """A_LegS (n, n): A[i, k] = −√(2i+1)√(2k+1) for i > k, −(i+1) for i = k, 0 for i < k."""
    root = np.sqrt(2.0 * np.arange(n) + 1.0)
    return -(np.tril(np.outer(root, root), -1) + np.diag(np.arange(n) + 1.0))


def legs_input(n: int) -> F64:
    """B_LegS (n,): √(2i+1)."""
    return np.asarray(np.sqrt(2.0 * np.arange(n) + 1.0))


def legs_low_rank(n: int) -> F64:
    """P (n,): √(i+½), the rank-one correction with A_LegS = A_normal − P Pᵀ."""
    return np.asarray(np.sqrt(np.arange(n) + 0.5))


def legs_normal(n: int) -> F64:
    """A_normal = A_LegS + P Pᵀ (n, n): −½ I plus a skew-symmetric matrix, hence normal."""
    p = legs_low_rank(n)
    return legs(n) + np.outer(p, p)


@cache
def diagonalise(n: int) -> tuple[C128, C128]:
    """Λ (n,) and unitary V (n, n) with A_normal = V diag(Λ) Vᴴ, ordered by ascending Im Λ.

    From ``eigh(−i(A_normal + ½I))``, a Hermitian matrix, in float64; Re Λ = −½ exactly. The phase of each
    eigenvector is arbitrary: compare kernels, never raw eigenvectors. Read-only: computed once for each n.
    """
    frequencies, V = np.linalg.eigh(-1j * (legs_normal(n) + 0.5 * np.eye(n)))
    Lambda = -0.5 + 1j * frequencies
    Lambda.flags.writeable = V.flags.writeable = False  # they are handed out again
    return Lambda, V


class StateMatrix(NamedTuple):
    """The diagonalised block-diagonal state matrix.

    Lambda  (P',) kept eigenvalues
    V       (P, P') kept eigenvectors; A = V Λ Vᴴ (conj_sym: plus its conjugate)
    """

    Lambda: C128
    V: C128


def state_matrix(ssm_size: int, blocks: int, conj_sym: bool) -> StateMatrix:
    """HiPPO-N of size P/J, tiled J times along the diagonal.

    With ``conj_sym`` the first half of the ascending order is kept in every block, that is the eigenvalues of
    negative imaginary part: P' = P/2. Raises S5Error if J does not divide P, or a block is odd under
    ``conj_sym``.
    """
    if blocks < 1 or ssm_size < 1 or ssm_size % blocks:
        raise ConfigError(
            f"state_matrix: blocks J must divide ssm_size P; got J={blocks}, P={ssm_size}.",
            "Choose J among the divisors of P.",
        )
    size = ssm_size // blocks
    if conj_sym and size % 2:
        raise ConfigError(
            f"state_matrix: conj_sym keeps half of every block, so P/J must be even; got P/J = "
            f"{ssm_size}/{blocks} = {size}.",
            "Choose an even block size, or conj_sym = false.",
        )
    Lambda, V = diagonalise(size)
    kept = size // 2 if conj_sym else size
    return StateMatrix(
        np.tile(Lambda[:kept], blocks), np.asarray(np.kron(np.eye(blocks), V[:, :kept]), np.complex128)
    )
