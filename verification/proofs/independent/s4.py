"""S4's kernel of a diagonal-plus-low-rank state matrix by its generating function, and its recurrent form.

Bilinear: Ā = (I − ΔA/2)⁻¹(I + ΔA/2), B̄ = (I − ΔA/2)⁻¹ΔB. At the roots of unity ω the generating function
of the truncated kernel is K̂(ω) = C̃(I − ωĀ)⁻¹B̄ with C̃ = C(I − Ā^L); Woodbury turns it into four Cauchy
sums. Rows C are (M, N): y = C x. Source: S4 (Gu, Goel, Ré, 2022), appendix C.3. Derivation:
docs/derivations/s4.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s5ref.verification.proofs.independent.matrices import C128, DPLR

Inputs = npt.NDArray[np.float64] | npt.NDArray[np.complex128]


def discretised(A: C128, B: C128, Delta: float) -> tuple[C128, C128]:
    """(Ā, B̄) of a dense A by the bilinear rule."""
    eye = np.eye(len(A))
    right = np.concatenate([eye + Delta / 2 * A, Delta * B], axis=1)
    both = np.asarray(np.linalg.solve(eye - Delta / 2 * A, right), dtype=np.complex128)
    return both[:, : len(A)], both[:, len(A) :]


def truncated(C: C128, A_bar: C128, L: int) -> C128:
    """C̃ = C(I − Ā^L): the parameter that S4 trains."""
    return np.asarray(C - C @ np.linalg.matrix_power(A_bar, L))


def recovered(C_tilde: C128, A_bar: C128, L: int) -> C128:
    """C = C̃(I − Ā^L)⁻¹: the output row of the recurrent form."""
    return np.asarray(np.linalg.solve((np.eye(len(A_bar)) - np.linalg.matrix_power(A_bar, L)).T, C_tilde.T).T)


def kernel(s: DPLR, C_tilde: C128, Delta: float, L: int) -> C128:
    """K_l = C Ā^l B̄ for l < L, (L, M, H), from C̃ (M, N). Half angles, ω = e^{−2iφ}: finite at −1, no
    cancellation near 1.

    K̂ = e^{iφ}[h_CB − cos φ h_CP h_QB /(1 + cos φ h_QP)],  h_ab = Σ_n a_n b_n /((2i/Δ) sin φ − Λ_n cos φ).
    """
    phi = np.pi * np.arange(L) / L
    cos, sin = np.cos(phi), np.sin(phi)
    weights = 1 / ((2j / Delta) * sin[:, None] - s.Lambda * cos[:, None])
    left, Q = C_tilde * weights[:, None, :], s.Q.conj() * weights
    h_CB, h_CP, h_QB, h_QP = left @ s.B, left @ s.P, Q @ s.B, Q @ s.P
    low_rank = h_CP[:, :, None] * h_QB[:, None, :] * (cos / (1 + cos * h_QP))[:, None, None]
    return np.asarray(np.fft.ifft(np.exp(1j * phi)[:, None, None] * (h_CB - low_rank), axis=0))


def kernel_as_printed(s: DPLR, C_tilde: C128, Delta: float, L: int) -> C128:
    """The same with g = (2/Δ)(1−ω)/(1+ω) and c = 2/(1+ω) as the paper prints it: not finite where ω = −1
    exactly."""
    omega = np.exp(-2j * np.pi * np.arange(L) / L)
    if L % 2 == 0:
        omega[L // 2] = -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        g, c = (2 / Delta) * (1 - omega) / (1 + omega), 2 / (1 + omega)
        weights = 1 / (g[:, None] - s.Lambda)
        left, Q = C_tilde * weights[:, None, :], s.Q.conj() * weights
        low_rank = (left @ s.P)[:, :, None] * (Q @ s.B)[:, None, :] / (1 + Q @ s.P)[:, None, None]
        return np.asarray(np.fft.ifft(c[:, None, None] * (left @ s.B - low_rank), axis=0))


def powers(A_bar: C128, B_bar: C128, C: C128, L: int) -> C128:
    """C Ā^l B̄ for l < L by multiplication, (L, M, H)."""
    out, v = np.empty((L, len(C), B_bar.shape[1]), dtype=np.complex128), B_bar.astype(np.complex128)
    for l in range(L):
        out[l] = C @ v
        v = A_bar @ v
    return out


def recurrent(s: DPLR, Delta: float, u: Inputs) -> C128:
    """States (L, N) of x ← A₁(A₀x + 2Bu) in O(N) a step: A₀ = 2/Δ + A, A₁ = (2/Δ − A)⁻¹ = D − DP(1 +
    Q*DP)⁻¹Q*D. u (L, H)."""
    D = 1 / (2 / Delta - s.Lambda)
    Q = s.Q.conj()
    DP = D * s.P
    x, states = np.zeros(len(D), dtype=np.complex128), np.empty((len(u), len(D)), dtype=np.complex128)
    for k, u_k in enumerate(u):
        v = D * ((2 / Delta + s.Lambda) * x - s.P * (Q @ x) + 2 * (s.B @ u_k))
        x = v - DP * (Q @ v) / (1 + Q @ DP)
        states[k] = x
    return states


def state_kernel(s: DPLR, Delta: float, L: int, rows: C128 | None = None) -> C128:
    """Kernel of every state (rows = I), or of ``rows`` of it: (L, M, H). Rows V give the states in the
    original coordinates."""
    A_bar, _ = discretised(s.dense(), s.B, Delta)
    C = np.eye(len(s.Lambda), dtype=np.complex128) if rows is None else rows
    return kernel(s, truncated(C, A_bar, L), Delta, L)
