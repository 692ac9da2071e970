"""S5's scan is a convolution, and linear: docs/derivations/convolution.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product

import numpy as np

from s5ref.verification.draws import Normal
from s5ref.verification.proofs.independent import convolution
from s5ref.verification.proofs.independent.matrices import F64
from s5ref.verification.proofs.independent.s4d import RULES
from s5ref.verification.proofs.theorems.equivalence import drive, random_s5
from s5ref.verification.proofs.theorems.statement import (
    LIMIT,
    S5,
    Measured,
    Statement,
    by_rule,
    error,
    residual,
    scan,
)

PAGE = "convolution.md"


def problems(rule: str, both: bool) -> list[tuple[S5, F64, str]]:
    """SSMs of several sizes, with and without conjugate symmetry, Δ per state over a decade."""
    listed = []
    sizes = (2, 1, 1, 1, True), (8, 2, 3, 7, False), (16, 1, 4, 256, True), (64, 4, 2, 1000, True)
    for (N, J, H, L, conj_sym), step in product(sizes, (1e-3, 1e-2, 0.1)):
        Delta = step * np.geomspace(1.0, 10.0, N // 2 if conj_sym else N)
        s, _, _ = random_s5(N, J, H, Delta, rule, conj_sym)
        if both:
            s = s._replace(C_back=Normal("theorems", "C2", N, H).complex(*s.C.shape) / N**0.5)
        listed.append((s, drive(L, H), f"N = {N}, H = {H}, L = {L}, Δ = {step}"))
    return listed


def kernels(s: S5, L: int) -> list[F64]:
    """K_l = f Re(C̃ Λ̄^l B̄) of each direction."""
    outputs = [s.C] if s.C_back is None else [s.C, s.C_back]
    return [convolution.s5_kernel(s.Lambda, s.Delta, s.B, C, L, s.rule, s.conj_sym) for C in outputs]


def forward(Ks: list[F64], u: F64) -> F64:
    """y = K ∗ u + D ∘ u, every input-output pair by FFT."""
    return convolution.causal(Ks[0], u)


def both(Ks: list[F64], u: F64) -> F64:
    """y = K1 ∗ u + K2 ⋆ u + D ∘ u: u_k enters twice, with K1_0 and with K2_0."""
    return np.asarray(convolution.causal(Ks[0], u) + convolution.anticausal(Ks[1], u))


def shifted(Ks: list[F64], u: F64) -> F64:
    """S4's circular kernel of length 2L with k0 = K1, k1[j] = K2[j+1], and K2[0] joined to D."""
    K1, K2 = Ks
    ahead = np.concatenate([K2[1:], np.zeros_like(K2[:1])])
    return np.asarray(convolution.s4_bidirectional(K1, ahead, u) + u @ K2[0].T)


def scanned(want: Callable[[list[F64], F64], F64], both: bool, rule: str, level: str) -> Measured:
    """The outputs of the scan, without D ∘ u, against those by the kernels."""
    for s, u, where in problems(rule, both):
        yield residual(scan(s, u)[1], s.D * u, want(kernels(s, len(u)), u)), where


def linear(level: str) -> Measured:
    """y(αu + βv) = αy(u) + βy(v), α and β powers of two so that nothing else rounds."""
    for rule in RULES:
        for s, u, where in problems(rule, True):
            s = s._replace(D=np.zeros_like(s.D))
            v = drive(len(u), u.shape[1], seed=1)
            yield error(scan(s, 2 * u - v / 4)[1], 2 * scan(s, u)[1] - scan(s, v)[1] / 4), f"{rule}, {where}"


def episodes(rule: str, level: str) -> Measured:
    """The outputs of both scans with resets, without D ∘ u, against the kernels on each episode alone."""
    for s, u, where in problems(rule, True):
        L = len(u)
        starts = sorted({0, L // 3, L // 2, L - 1})  # an episode of the last step alone among them
        resets = np.isin(np.arange(L), starts[1:])
        Ks = kernels(s, L)
        parts = [both([K[: b - a] for K in Ks], u[a:b]) for a, b in pairwise([*starts, L])]
        yield residual(scan(s, u, resets)[1], s.D * u, np.concatenate(parts)), where


STATEMENTS = [
    *by_rule("Scan = convolution", PAGE, partial(scanned, forward, False)),
    *by_rule("Two scans = convolution and correlation", PAGE, partial(scanned, both, True)),
    *by_rule("S5's second direction = S4's shifted kernel", PAGE, partial(scanned, shifted, True)),
    *by_rule("Resets = the episodes one by one", "resets.md", episodes),
    Statement("The SSM is linear", PAGE, "both rules, both directions", LIMIT, linear),
]
