"""HiPPO-N tends to LegS (the S5 paper's Corollary 1): docs/derivations/equivalence.md.

x′ = A_normal x + ½B u (s5ref's state matrix) against x′ = A_LegS x + B u (closed form), u = 1 on [0, 6].
Both responses are sums of exponentials, so that their L² distance is exact: no integrator. A sum over
601 samples has all the published figures.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from s5ref.ssm import hippo
from s5ref.verification.proofs.independent.continuous import Exponentials, legs_step_response, step_response
from s5ref.verification.proofs.theorems.statement import Measured, Statement, error

PAGE, NAME = "equivalence.md", "HiPPO-N tends to LegS"
T = 6.0
PUBLISHED = {  # (N, n): relative L² error of x_n on [0, 6] and one unit of its last printed digit
    (16, 0): (1.5e-2, 1e-3),
    (16, 4): (2.7e-1, 1e-2),
    (64, 0): (2.3e-3, 1e-4),
    (64, 4): (6.3e-2, 1e-3),
    (256, 0): (3e-4, 1e-4),
    (256, 4): (1.1e-2, 1e-3),
    (512, 0): (1e-4, 1e-4),
    (512, 4): (4.1e-3, 1e-4),
}


def response(N: int, n: int, gain: float = 0.5) -> Exponentials:
    """x_n(t) of x′ = A_normal x + gain · B u for u = 1, from the zero state."""
    Lambda, V = hippo.diagonalise(N)
    return step_response(V[n] * (V.conj().T @ (gain * hippo.legs_input(N))), Lambda)


def distance(N: int, n: int, gain: float = 0.5) -> float:
    """‖x_n − x_n of LegS‖ / ‖x_n of LegS‖ in L²[0, 6]."""
    legs = legs_step_response(n)
    return float(response(N, n, gain).minus(legs).norm(T) / legs.norm(T))


def sampled_distance(N: int, n: int) -> float:
    """The same by sums over 601 samples, which for n = 4 and N = 64 differ by 0.3 % from the integral."""
    t = np.linspace(0, T, 601)
    legs, normal = legs_step_response(n)(t), response(N, n)(t)
    return float(np.linalg.norm(normal - legs) / np.linalg.norm(legs))


def figure(N: int, n: int, level: str) -> Measured:
    """Distance from the published figure; the bound is half a unit of its last digit."""
    measured, (published, _) = sampled_distance(N, n), PUBLISHED[N, n]
    yield (
        abs(measured - published),
        f"error {measured:.2e}, published {published:.1e}, exact norm {distance(N, n):.2e}",
    )


def transfer(level: str) -> Measured:
    """x̂_n/û of HiPPO-N = that of LegS over 1 + R_N(s), at every N; R_n(s) = Π_{k<n} (s − k)/(s + k +
    1)."""
    for N in (2, 8, 64):
        Lambda, V = hippo.diagonalise(N)
        B, n = hippo.legs_input(N), np.arange(N)
        for s in (0.25, 0.3 + 1j, 1 + 10j, 2.5 + 300j):
            R = np.concatenate([[1], np.cumprod((s - n) / (s + n + 1))])
            want = np.sqrt(2 * n + 1) * R[:-1] / (s + n + 1) / (1 + R[-1])
            yield error(V @ ((V.conj().T @ (B / 2)) / (s - Lambda)), want), f"N = {N}, s = {s}"


def whole(level: str) -> Measured:
    """With B in place of ½B the error is 1.00: x_0 tends to twice LegS's."""
    for N in (64, 256):
        measured = distance(N, 0, gain=1.0)
        yield abs(measured - 1.0), f"error {measured:.4f} at N = {N}"


STATEMENTS = [
    *(
        Statement(NAME, PAGE, f"N = {N}, n = {n}", 0.5 * unit, partial(figure, N, n))
        for (N, n), (_, unit) in PUBLISHED.items()
    ),
    Statement(NAME, PAGE, "transfer function at finite N", 1e-12, transfer),
    Statement(NAME, PAGE, "B instead of ½B, n = 0", 0.005, whole),
]
