"""S5's scan is a convolution, and linear: docs/derivations/convolution.md."""

from __future__ import annotations

from functools import partial

import numpy as np

from s5ref.random import generator
from s5ref.verification.proofs.independent import convolution
from s5ref.verification.proofs.independent.matrices import F64
from s5ref.verification.proofs.independent.s4d import RULES
from s5ref.verification.proofs.theorems.equivalence import drive, random_s5
from s5ref.verification.proofs.theorems.statement import S5, Found, Statement, error, residual, scan

PAGE = "convolution.md"
FORWARD, BOTH = "Scan = convolution", "Two scans = convolution and correlation"
SHIFTED, LINEAR = "S5's second direction = S4's shifted kernel", "The SSM is linear"


def problems(rule: str, both: bool) -> list[tuple[S5, F64, str]]:
    """SSMs of several sizes, with and without conjugate symmetry, Δ per state over a decade."""
    found = []
    for N, J, H, L, conj_sym in (
        (2, 1, 1, 1, True),
        (8, 2, 3, 7, False),
        (16, 1, 4, 256, True),
        (64, 4, 2, 1000, True),
    ):
        for step in (1e-3, 1e-2, 0.1):
            Delta = step * np.geomspace(1.0, 10.0, N // 2 if conj_sym else N)
            s, _, _ = random_s5(N, J, H, Delta, rule, conj_sym)
            if both:
                parts = generator("theorems", "C2", N, H).standard_normal((2, *s.C.shape))
                s = s._replace(C_back=(parts[0] + 1j * parts[1]) / N**0.5)
            found.append((s, drive(L, H), f"N = {N}, H = {H}, L = {L}, Δ = {step}"))
    return found


def kernels(s: S5, L: int) -> list[F64]:
    """K_l = f Re(C̃ Λ̄^l B̄) of each direction."""
    outputs = [s.C] if s.C_back is None else [s.C, s.C_back]
    return [convolution.s5_kernel(s.Lambda, s.Delta, s.B, C, L, s.rule, s.conj_sym) for C in outputs]


def forward(rule: str, level: str) -> Found:
    """y = K ∗ u + D ∘ u, every input-output pair by FFT."""
    for s, u, where in problems(rule, False):
        yield residual(scan(s, u)[1], s.D * u, convolution.causal(kernels(s, len(u))[0], u)), where


def both(rule: str, level: str) -> Found:
    """y = K1 ∗ u + K2 ⋆ u + D ∘ u: u_k enters twice, with K1_0 and with K2_0."""
    for s, u, where in problems(rule, True):
        K1, K2 = kernels(s, len(u))
        want = convolution.causal(K1, u) + convolution.anticausal(K2, u)
        yield residual(scan(s, u)[1], s.D * u, want), where


def shifted(rule: str, level: str) -> Found:
    """S4's circular kernel of length 2L with k0 = K1, k1[j] = K2[j+1], and K2[0] joined to D."""
    for s, u, where in problems(rule, True):
        K1, K2 = kernels(s, len(u))
        ahead = np.concatenate([K2[1:], np.zeros_like(K2[:1])])
        want = convolution.s4_bidirectional(K1, ahead, u) + u @ K2[0].T
        yield residual(scan(s, u)[1], s.D * u, want), where


def linear(level: str) -> Found:
    """y(αu + βv) = αy(u) + βy(v), α and β powers of two so that nothing else rounds."""
    for rule in RULES:
        for s, u, where in problems(rule, True):
            s = s._replace(D=np.zeros_like(s.D))
            v = drive(len(u), u.shape[1], seed=1)
            yield error(scan(s, 2 * u - v / 4)[1], 2 * scan(s, u)[1] - scan(s, v)[1] / 4), f"{rule}, {where}"


LIMIT = 1e-12  # of a row in units of its largest value: docs/derivations say why at each statement
STATEMENTS = [
    *(Statement(FORWARD, PAGE, rule, LIMIT, partial(forward, rule)) for rule in RULES),
    *(Statement(BOTH, PAGE, rule, LIMIT, partial(both, rule)) for rule in RULES),
    *(Statement(SHIFTED, PAGE, rule, LIMIT, partial(shifted, rule)) for rule in RULES),
    Statement(LINEAR, PAGE, "both rules, both directions", LIMIT, linear),
]
