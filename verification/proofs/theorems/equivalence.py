"""S5 is a sum of S4s, block by block, and HiPPO-N tends to LegS: docs/derivations/equivalence.md.

The S5 side is s5ref's scan; the S4 side is a kernel (S4D's under ZOH, the DPLR one under the bilinear rule)
and FFTs.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from s5ref.random import generator
from s5ref.ssm import hippo
from s5ref.verification.proofs.independent import convolution, matrices, s4, s4d
from s5ref.verification.proofs.independent.matrices import C128, DPLR, F64
from s5ref.verification.proofs.theorems.statement import (
    EPS,
    LIMIT,
    S5,
    Measured,
    Statement,
    by_rule,
    error,
    residual,
    scan,
    taken,
)

PAGE = "equivalence.md"
SUM = "S5 state = Σ S4 states"
STEPS = (1e-3, 1e-2, 0.1)


def random_s5(
    N: int, J: int, H: int, Delta: F64, rule: str, conj_sym: bool, seed: int = 0
) -> tuple[S5, F64, F64]:
    """(HiPPO-N of size N in J blocks with real random B and C, B (N, H), C (H, N))."""
    rng = generator("theorems", N, J, H, seed)
    state = hippo.state_matrix(N, J, conj_sym)
    B, C = rng.standard_normal((N, H)) / N**0.5, rng.standard_normal((H, N)) / N**0.5
    Delta = taken(np.broadcast_to(Delta, state.Lambda.shape))
    D = rng.standard_normal(H)
    return S5(state.Lambda, Delta, state.V.conj().T @ B, C @ state.V, D, rule, conj_sym), B, C


def drive(L: int, H: int, seed: int = 0) -> F64:
    """Random inputs (L, H)."""
    return np.asarray(generator("theorems", "input", L, H, seed).standard_normal((L, H)))


def s4_states(Lambda: C128, B: C128, Delta: F64, L: int, rule: str, u: F64) -> C128:
    """The states (H, L, P) of H S4 SSMs by kernel and FFT. S4's Δ is one number: a vector goes in as (ΔΛ,
    ΔB̃, step 1)."""
    if rule == "zoh":
        return convolution.per_input(s4d.state_kernel(Delta * Lambda, Delta[:, None] * B, 1.0, L, "zoh"), u)
    zero, basis = np.zeros_like(Lambda), np.eye(len(Lambda), dtype=np.complex128)
    scalar = bool((Delta == Delta[0]).all())
    scale, step = (np.ones_like(Delta), float(Delta[0])) if scalar else (Delta, 1.0)
    form = DPLR(scale * Lambda, zero, zero, scale[:, None] * B, basis)
    return convolution.per_input(s4.state_kernel(form, step, L), u)


def state_sum(rule: str, level: str, vector: bool = False) -> Measured:
    """In the eigenbasis, A_normal: both sides get Λ."""
    for N, step in product((2, 8, 64) if level == "quick" else (2, 8, 64, 256), STEPS):
        Delta = step * (np.geomspace(0.5, 2.0, N // 2) if vector else np.ones(1))
        s, _, _ = random_s5(N, 1, 3, Delta, rule, True)
        L = 96 if N > 64 else 200
        u = drive(L, 3)
        want = s4_states(s.Lambda, s.B, s.Delta, L, rule, u).sum(axis=0)
        yield error(scan(s, u)[0], want), f"N = {N}, L = {L}, Δ = {step}"


def state_sum_real(rule: str, level: str) -> Measured:
    """In the original coordinates: x = 2 Re(V x̃) against S4 from its own A_normal and Schur vectors, all N
    states."""
    for N, step in product((2, 8, 32), STEPS):
        s, B, _ = random_s5(N, 1, 3, np.array([step]), rule, True)
        u = drive(200, 3)
        x = 2 * (scan(s, u)[0] @ hippo.state_matrix(N, 1, True).V.T).real
        parts, V = normal_states(B, s.Delta[0], rule, u)
        yield error(x, (parts @ V.T).sum(axis=0)), f"N = {N}, Δ = {step}"


def normal_states(B: F64, step: float, rule: str, u: F64) -> tuple[C128, C128]:
    """(the S4 states (H, L, N) of A_normal in the coordinates of its own Schur vectors V, V); B (N, H)."""
    form = matrices.dplr(matrices.legs(len(B)), low_rank=False, inputs=B)
    return s4_states(form.Lambda, form.B, np.full(len(B), step), len(u), rule, u), form.V


def full_legs(N: int, step: float, L: int, H: int) -> tuple[F64, C128, F64]:
    """B (N, H), S4's states (H, L, N) by the DPLR kernel with A_LegS, and the inputs."""
    B, u = generator("theorems", "legs", N, H).standard_normal((N, H)), drive(L, H)
    form = matrices.dplr(matrices.legs(N), inputs=B)
    return B, convolution.per_input(s4.state_kernel(form, step, L, rows=form.V), u), u


def diagonalised_legs(N: int, relative: bool, level: str) -> Measured:
    """Full A_LegS, the S5 side through its eigenvectors V: the error, or (relative) its ratio to eps κ(V)
    min(L, 1/(1 − |Λ̄|))."""
    for step in STEPS:
        B, parts, u = full_legs(N, step, 200, 3)
        Lambda, V = np.linalg.eig(hippo.legs(N))
        Lambda, V = Lambda.astype(np.complex128), V.astype(np.complex128)
        s = S5(
            Lambda, taken(np.full(N, step)), np.linalg.solve(V, B), np.zeros((3, N), np.complex128),
            np.zeros(3), "bilinear", False,
        )  # fmt: skip
        measured, memory = error(scan(s, u)[0] @ V.T, parts.sum(axis=0)), min(200.0, (1 + step / 2) / step)
        scale = EPS * float(np.linalg.cond(V)) * memory if relative else 1.0
        yield measured / scale, f"error {measured:.1e}, κ(V) = {np.linalg.cond(V):.0e}, Δ = {step}"


def dense_recurrence(A: F64, B: F64, Delta: float, u: F64) -> F64:
    """x_k = Ā x_{k−1} + B̄ u_k with dense bilinear Ā: S5 before diagonalisation."""
    left, right = np.eye(len(A)) - Delta / 2 * A, np.eye(len(A)) + Delta / 2 * A
    A_bar, B_bar = np.linalg.solve(left, right), np.linalg.solve(left, Delta * B)
    x, states = np.zeros(len(A)), np.empty((len(u), len(A)))
    for k, Bu in enumerate(u @ B_bar.T):
        states[k] = x = A_bar @ x + Bu
    return states


def dense_legs(level: str) -> Measured:
    """Full A_LegS, S5's recurrence with the dense matrix against the DPLR kernel."""
    for N, step in product((8, 16, 64), STEPS):
        B, parts, u = full_legs(N, step, 200, 3)
        got = dense_recurrence(hippo.legs(N), B, step, u)
        yield error(got, parts.sum(axis=0)), f"N = {N}, Δ = {step}"


def output(rule: str, level: str) -> Measured:
    """y_k = [C C … C] x_k^{(1:H)} + D u_k, with the H state vectors stacked."""
    for N, step in product((2, 8, 64), STEPS):
        s, _, _ = random_s5(N, 1, 3, np.array([step]), rule, True)
        u = drive(200, 3)
        stacked = np.concatenate(list(s4_states(s.Lambda, s.B, s.Delta, 200, rule, u)), axis=1)
        want = 2 * (stacked @ np.concatenate([s.C] * 3, axis=1).T).real
        yield residual(scan(s, u)[1], s.D * u, want), f"N = {N}, Δ = {step}"


def blocks(rule: str, level: str) -> Measured:
    """A of J blocks: the states of block j are those of an SSM with rows j of B; outputs with columns j of
    C are summed."""
    for (N, J), step in product(((8, 4), (32, 2), (64, 4)), STEPS):
        s, B, C = random_s5(N, J, 3, np.array([step]), rule, True)
        u, n = drive(200, 3), N // J
        x, y = scan(s, u)
        total = np.zeros_like(u)
        for j in range(J):
            rows, kept = slice(j * n, (j + 1) * n), slice(j * (n // 2), (j + 1) * (n // 2))
            parts, V = normal_states(B[rows], s.Delta[0], rule, u)
            want = (parts.sum(axis=0) @ V.T).real
            got = 2 * (x[:, kept] @ hippo.state_matrix(n, 1, True).V.T).real
            yield error(got, want), f"states of block {j}, N = {N}, J = {J}, Δ = {step}"
            total = total + want @ C[:, rows].T
        yield residual(y, s.D * u, total), f"output, N = {N}, J = {J}, Δ = {step}"


STATEMENTS = [
    *by_rule(SUM, PAGE, state_sum, "{}, A_normal"),
    *by_rule(SUM, PAGE, partial(state_sum, vector=True), "{}, A_normal, a step per state"),
    *by_rule(SUM, PAGE, state_sum_real, "{}, real coordinates"),
    Statement(SUM, PAGE, "bilinear, A_LegS diagonalised, N = 4", LIMIT, partial(diagonalised_legs, 4, False)),
    Statement(
        SUM, PAGE, "bilinear, A_LegS diagonalised, N = 8, in eps κ(V) memory", 1.0,
        partial(diagonalised_legs, 8, True),
    ),
    Statement(SUM, PAGE, "bilinear, A_LegS dense", LIMIT, dense_legs, ""),
    *by_rule("S5 output = [C C … C] of the S4 states", PAGE, output),
    *by_rule("J blocks = J SSMs summed", PAGE, blocks),
]  # fmt: skip
