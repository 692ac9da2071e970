"""S4D's kernel: a Vandermonde product. Source: S4D (Gu et al., 2022), section 3. Derivation:
docs/derivations/s4.md."""

from __future__ import annotations

import numpy as np

from s5ref.verification.proofs.independent.matrices import C128, F64

RULES = ("zoh", "bilinear")


def discretised(A: C128, Delta: F64 | float, rule: str) -> tuple[C128, C128]:
    """(Ā, gain), B̄ = gain ∘ B. ZOH: e^{ΔA}, (e^{ΔA} − 1)/A, which is Δ where A = 0. Bilinear: (1 + z/2)/(1
    − z/2), Δ/(1 − z/2)."""
    z = np.asarray(A * Delta, dtype=np.complex128)
    if rule == "zoh":
        nonzero = np.where(A == 0, 1, A)
        return np.exp(z), np.asarray(np.where(A == 0, Delta, np.expm1(z) / nonzero))
    return (1 + z / 2) / (1 - z / 2), np.asarray(Delta / (1 - z / 2))


def vandermonde(A_bar: C128, L: int) -> C128:
    """Ā_n^l, (L, N), by running products: an error of l eps where e^{ΔAl} would have |ΔA| l eps."""
    V = np.broadcast_to(A_bar, (L, len(A_bar))).copy()
    V[0] = 1
    return np.asarray(np.cumprod(V, axis=0))


def state_kernel(A: C128, B: C128, Delta: F64 | float, L: int, rule: str) -> C128:
    """Ā^l B̄ of every state and input, (L, N, H); B (N, H)."""
    A_bar, gain = discretised(A, Delta, rule)
    return np.asarray(vandermonde(A_bar, L)[:, :, None] * (gain[:, None] * B))


def kernel(A: C128, B: C128, C: C128, Delta: float, L: int, rule: str) -> F64:
    """K_l = 2 Re Σ_n C_n B_n gain_n Ā_n^l over one of each conjugate pair, (L,)."""
    A_bar, gain = discretised(A, Delta, rule)
    return np.asarray(2 * (vandermonde(A_bar, L) @ (C * B * gain)).real)
