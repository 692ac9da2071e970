"""HiPPO-LegS, its normal part, and the diagonal state matrices that an S5 layer can start from.

Derivation: docs/derivations/hippo.md. Source: S5 paper, section 3.1 and appendix B; HiPPO (Gu et al., 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s5ref import random
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
    Lambda, V = _eigenvalues_and_vectors(legs_normal(n) + 0.5 * np.eye(n))
    Lambda.flags.writeable = V.flags.writeable = False  # they are handed out again
    return Lambda, V


class StateMatrix(NamedTuple):
    """The diagonalised block-diagonal state matrix.

    Lambda   (P',) kept eigenvalues
    V        (P, P') kept eigenvectors
    inverse  (P', P) their rows of V⁻¹, so that A = V Λ V⁻¹ (conj_sym: plus its conjugate)
    """

    Lambda: C128
    V: C128
    inverse: C128


def hippo(n: int, rng: np.random.Generator | None = None) -> StateMatrix:
    """HiPPO-N (n, n), diagonalised; nothing is drawn."""
    Lambda, V = diagonalise(n)
    return StateMatrix(Lambda, V, V.conj().T)


def antisymmetric(n: int, rng: np.random.Generator) -> StateMatrix:
    """−½ I + (G − Gᵀ)/√(2n) (n, n), G of standard normals: like HiPPO-N it is normal with real parts −½, but
    its frequencies are below about 2.
    """
    return _normal(_antisymmetric(n, rng))


def antisymmetric_wide(n: int, rng: np.random.Generator) -> StateMatrix:
    """−½ I + c (G − Gᵀ), with c such that the largest frequency is that of HiPPO-N."""
    S = _antisymmetric(n, rng)
    largest = np.abs(np.linalg.eigvalsh(1j * S)).max()
    return _normal(S * (np.abs(diagonalise(n)[0].imag).max() / largest) if n > 1 else S)


def gaussian(n: int, rng: np.random.Generator) -> StateMatrix:
    """½ (G/√n − I) (n, n), G of standard normals. For large n the eigenvalues fill the disc of radius ½ about
    −½, those of small n may leave it. It is not normal, and some of its eigenvalues are real.
    """
    Lambda, V = np.linalg.eig(0.5 * (random.normal(rng, (n, n)) / np.sqrt(n) - np.eye(n)))
    order = np.argsort(Lambda.imag, kind="stable")
    V = V[:, order].astype(np.complex128)
    return StateMatrix(Lambda[order].astype(np.complex128), V, np.linalg.inv(V))


STATE_INITS: dict[str, Callable[[int, np.random.Generator], StateMatrix]] = {
    "hippo": hippo,
    "antisymmetric": antisymmetric,
    "antisymmetric_wide": antisymmetric_wide,
    "gaussian": gaussian,
}


def state_matrix(
    ssm_size: int, blocks: int, conj_sym: bool, block: Callable[[int], StateMatrix] = hippo
) -> StateMatrix:
    """J blocks of size P/J along the diagonal, each of them ``block(P/J)``.

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
    kept = size // 2 if conj_sym else size
    drawn = [block(size) for _ in range(blocks)]
    V = np.zeros((ssm_size, blocks * kept), np.complex128)
    inverse = np.zeros((blocks * kept, ssm_size), np.complex128, order="F")
    for j, part in enumerate(drawn):
        rows, columns = slice(j * size, (j + 1) * size), slice(j * kept, (j + 1) * kept)
        V[rows, columns], inverse[columns, rows] = part.V[:, :kept], part.inverse[:kept]
    return StateMatrix(np.concatenate([part.Lambda[:kept] for part in drawn]), V, inverse)


def _antisymmetric(n: int, rng: np.random.Generator) -> F64:
    G = random.normal(rng, (n, n))
    return np.asarray((G - G.T) / np.sqrt(2 * n))


def _normal(skew: F64) -> StateMatrix:
    """−½ I + skew, diagonalised."""
    Lambda, V = _eigenvalues_and_vectors(skew)
    return StateMatrix(Lambda, V, V.conj().T)


def _eigenvalues_and_vectors(skew: F64) -> tuple[C128, C128]:
    """Those of −½ I + skew, by ``eigh`` of a Hermitian matrix, ordered by ascending Im Λ."""
    frequencies, V = np.linalg.eigh(-1j * skew)
    return -0.5 + 1j * frequencies, V
