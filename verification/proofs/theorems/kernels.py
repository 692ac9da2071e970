"""The independent side held against itself: the DPLR kernel, its recurrent form, S4D, LegS in closed form.
docs/derivations/s4.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from scipy.linalg import expm

from s5ref.random import generator
from s5ref.verification.draws import Normal
from s5ref.verification.proofs.independent import continuous, convolution, matrices, s4, s4d
from s5ref.verification.proofs.independent.matrices import C128, DPLR
from s5ref.verification.proofs.theorems.statement import EPS, LIMIT, Measured, Statement, by_rule, error

PAGE = "s4.md"
WOODBURY, RECURRENT = "DPLR kernel = powers of Ā", "Recurrent form = kernel"
CONDITION = "FouT, in eps × condition"
MARGIN = 1e-4  # of FouT's clamped zero pair
SHAPES = ((1, 0.1), (2, 0.1), (255, 1e-2), (256, 1e-2), (256, 1e-3), (256, 0.1), (64, 1.0))  # (L, Δ)
FORMS = {"LegS": matrices.legs, "FouT": matrices.fout}


def form(name: str, N: int) -> DPLR:
    """The DPLR form of LegS or FouT, FouT's zero pair clamped."""
    s = matrices.dplr(FORMS[name](N))
    return s._replace(Lambda=matrices.clamped(s.Lambda, MARGIN))


def rows(M: int, N: int) -> C128:
    """Random complex output rows (M, N)."""
    return Normal("theorems", "rows", M, N).complex(M, N)


def scaled(measure: Callable[[DPLR, C128, int, float], float], M: int, name: str, level: str) -> Measured:
    """The error of measure(form, C, L, Δ) at every size: that of LegS itself, that of FouT over eps times the
    condition of its kernel.

    The condition is a sum of three: 1/(mΔ) at the one node ω = 1 of L, κ(I − ΔA/2) from Ā, and L sums of N
    terms, N/2 each (its slow pair forgets nothing in L steps).
    """
    for N, (L, Delta) in product((4, 16, 64), SHAPES):
        s = form(name, N)
        solve = float(np.linalg.cond(np.eye(N) - Delta / 2 * s.dense()))
        scale = 1.0 if name == "LegS" else EPS * (1 / (MARGIN * Delta * L) + solve + N * L / 2)
        measured = measure(s, rows(M, N), L, Delta)
        yield measured / scale, f"error {measured:.1e}, N = {N}, L = {L}, Δ = {Delta}"


def woodbury(s: DPLR, C: C128, L: int, Delta: float) -> float:
    """The generating function by Cauchy sums and FFT against C Ā^l B̄ by multiplication."""
    A_bar, B_bar = s4.discretised(s.dense(), s.B, Delta)
    got = s4.kernel(s, s4.truncated(C, A_bar, L), Delta, L)
    return float(error(got, s4.powers(A_bar, B_bar, C, L)))


def recurrent(s: DPLR, C: C128, L: int, Delta: float) -> float:
    """States by the O(N) recurrence, read out by the C recovered from C̃, against the kernel's
    convolution."""
    u = generator("theorems", "input", L).standard_normal((L, 1))
    A_bar, _ = s4.discretised(s.dense(), s.B, Delta)
    C_tilde = s4.truncated(C, A_bar, L)
    want = convolution.per_input(s4.kernel(s, C_tilde, Delta, L), u)[0]
    return float(error(s4.recurrent(s, Delta, u) @ s4.recovered(C_tilde, A_bar, L).T, want))


def diagonal(rule: str, level: str) -> Measured:
    """S4D's 2 Re Σ over half of the states against the real 2 × 2 blocks of all of them, discretised
    densely."""
    for name in matrices.S4D_STARTS:
        A, B = matrices.s4d_start(name, 16)
        C = rows(1, len(A))[0]
        for L, Delta in SHAPES:
            want = np.zeros(L)
            for a, b, c in zip(A, B, C, strict=True):  # z = x₁ + i x₂: 2 Re(c z) with z′ = a z + b u
                real = np.array([[a.real, -a.imag], [a.imag, a.real]])
                inputs = np.array([[b.real], [b.imag]])
                discretised = continuous.held_step if rule == "zoh" else s4.discretised
                A_bar, B_bar = (m.astype(np.complex128) for m in discretised(real, inputs, Delta))
                want += s4.powers(A_bar, B_bar, 2 * np.array([[c.real, -c.imag]]), L)[:, 0, 0].real
            terms = 2 * float(np.abs(C * B * s4d.discretised(A, Delta, rule)[1]).sum())  # K_0 may cancel
            measured = float(np.abs(s4d.kernel(A, B, C, Delta, L, rule) - want).max()) / terms
            yield measured, f"{name}, L = {L}, Δ = {Delta}"


def closed(level: str) -> Measured:
    """√(2n+1) e^{−t} L_n(2e^{−t} − 1) against e^{At}B by SciPy's matrix exponential."""
    for N in (4, 8, 16):
        m = matrices.legs(N)
        for t in (0.0, 0.05, 0.3, 1.0, 3.0):
            got = np.array([continuous.legs_kernel(n, np.array(t)) for n in range(N)])
            yield error(got, expm(m.A * t) @ m.B), f"N = {N}, t = {t}"


STATEMENTS = [
    Statement(WOODBURY, PAGE, "LegS", LIMIT, partial(scaled, woodbury, 3, "LegS"), ""),
    Statement(WOODBURY, PAGE, CONDITION, 1.0, partial(scaled, woodbury, 3, "FouT"), ""),
    Statement(RECURRENT, PAGE, "LegS", LIMIT, partial(scaled, recurrent, 1, "LegS"), ""),
    Statement(RECURRENT, PAGE, CONDITION, 1.0, partial(scaled, recurrent, 1, "FouT"), ""),
    *by_rule("S4D kernel = dense kernel", PAGE, diagonal, engine=""),
    Statement("LegS kernel in closed form", PAGE, "against the matrix exponential", LIMIT, closed, ""),
]
