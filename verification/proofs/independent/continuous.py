"""Continuous time: driven states by an ODE integrator and by matrix exponentials, LegS's kernel in closed
form, norms of sums of exponentials.

Sources: Van Loan (1978) for the augmented exponential; HiPPO (Gu et al., 2020) for LegS. Derivations:
docs/derivations/s4.md, equivalence.md, orders.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.special import eval_legendre

from s5ref.verification.proofs.independent.matrices import C128, F64

TOLERANCE = 1e-13  # of one step of the integrator, relative; the absolute one is a hundredth


class Trajectory(NamedTuple):
    """States (K, N) at the times asked for, and at least as many steps as were taken (12 evaluations
    each)."""

    states: F64
    steps: int


def integrate(A: F64, B: F64, u: Callable[[float], F64], times: F64, x0: F64 | None = None) -> Trajectory:
    """x′ = A x + B u(t) from ``times[0]`` by DOP853 (order 8, adaptive). A (N, N), B (N, H) real, u
    smooth."""
    start = np.zeros(len(A)) if x0 is None else x0
    solution = solve_ivp(
        lambda t, x: A @ x + B @ u(t), (times[0], times[-1]), start, method="DOP853", t_eval=times,
        rtol=TOLERANCE, atol=TOLERANCE / 100,
    )  # fmt: skip
    assert solution.success, solution.message
    return Trajectory(np.asarray(solution.y.T), int(solution.nfev) // 12 + 1)


def integrate_held(A: F64, B: F64, levels: F64, hold: float) -> Trajectory:
    """States (K, N) at the end of each interval of length ``hold`` on which u is constant; levels (K,
    H)."""
    x, states, steps = np.zeros(len(A)), [], 0
    for level in levels:
        piece = integrate(A, B, lambda _, level=level: level, np.array([0.0, hold]), x)  # type: ignore[misc]
        x, steps = piece.states[-1], steps + piece.steps
        states.append(x)
    return Trajectory(np.array(states), steps)


def held_step(A: F64, B: F64, hold: float) -> tuple[F64, F64]:
    """(e^{At}, ∫₀ᵗ e^{As} ds B) from one exponential of [[A, B], [0, 0]]: no eigenvectors and no inverse of
    A."""
    N, H = B.shape
    whole = np.zeros((N + H, N + H))
    whole[:N, :N], whole[:N, N:] = A * hold, B * hold
    E = expm(whole)
    return E[:N, :N], E[:N, N:]


def legs_kernel(n: int, t: F64) -> F64:
    """K_n(t) = √(2n+1) e^{−t} L_n(2e^{−t} − 1), L_n Legendre's polynomial."""
    return np.asarray((2 * n + 1) ** 0.5 * np.exp(-t) * eval_legendre(n, 2 * np.exp(-t) - 1))


class Exponentials(NamedTuple):
    """f(t) = Σ_j coefficients_j e^{rates_j t}."""

    coefficients: C128
    rates: C128

    def __call__(self, t: F64) -> C128:
        return np.asarray(np.exp(np.multiply.outer(t, self.rates)) @ self.coefficients)

    def minus(self, other: Exponentials) -> Exponentials:
        """f − g."""
        return Exponentials(
            np.concatenate([self.coefficients, -other.coefficients]),
            np.concatenate([self.rates, other.rates]),
        )

    def norm(self, T: float) -> float:
        """‖f‖ in L²[0, T], exactly: Σ_ij c_i conj(c_j) ∫₀ᵀ e^{(μ_i + conj μ_j)t} dt."""
        s = self.rates[:, None] + self.rates.conj()[None, :]
        small = np.abs(s) * T < 1e-9
        integral = np.where(small, T, np.expm1(s * T) / np.where(small, 1, s))
        return float(np.sqrt(abs((self.coefficients @ integral @ self.coefficients.conj()).real)))


def step_response(weights: npt.ArrayLike, rates: npt.ArrayLike) -> Exponentials:
    """∫₀ᵗ Σ w_j e^{μ_j s} ds = Σ (w_j/μ_j)(e^{μ_j t} − 1)."""
    w, mu = np.asarray(weights, dtype=np.complex128), np.asarray(rates, dtype=np.complex128)
    return Exponentials(np.append(w / mu, -np.sum(w / mu)), np.append(mu, 0))


def legs_step_response(n: int) -> Exponentials:
    """x_n(t) of LegS for u = 1: L_n(2q − 1) = Σ_k (−1)^{n+k} C(n,k) C(n+k,k) q^k, q = e^{−t},
    integrated."""
    k = range(n + 1)
    weights = [(2 * n + 1) ** 0.5 * (-1) ** (n + j) * comb(n, j) * comb(n + j, j) for j in k]
    return step_response(weights, [-(j + 1.0) for j in k])
