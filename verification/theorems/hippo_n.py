"""HiPPO-N tends to LegS (the S5 paper's Corollary 1): docs/derivations/equivalence.md.

x′ = A_normal x + ½B u (s5ref's state matrix) against x′ = A_LegS x + B u (closed form), u = 1 on [0, 6]. Both responses are sums
of exponentials, so that their L² distance is exact: no grid, no integrator.
"""

from __future__ import annotations

from functools import partial

from s5ref.ssm import hippo
from s5ref.verification.independent.continuous import Exponentials, legs_step_response, step_response
from s5ref.verification.theorems.statement import Found, Statement

PAGE, NAME = "equivalence.md", "HiPPO-N tends to LegS"
T = 6.0
PUBLISHED = {  # (N, n): relative L² error of x_n on [0, 6] and one unit of its last printed digit
    (16, 0): (1.5e-2, 1e-3), (16, 4): (2.7e-1, 1e-2), (64, 0): (2.3e-3, 1e-4), (64, 4): (6.3e-2, 1e-3),
    (256, 0): (3e-4, 1e-4), (256, 4): (1.1e-2, 1e-3), (512, 0): (1e-4, 1e-4), (512, 4): (4.1e-3, 1e-4),
}


def response(N: int, n: int, gain: float = 0.5) -> Exponentials:
    """x_n(t) of x′ = A_normal x + gain · B u for u = 1, from the zero state."""
    Lambda, V = hippo.diagonalise(N)
    return step_response(V[n] * (V.conj().T @ (gain * hippo.legs_input(N))), Lambda)


def distance(N: int, n: int, gain: float = 0.5) -> float:
    """‖x_n − x_n of LegS‖ / ‖x_n of LegS‖ in L²[0, 6]."""
    legs = legs_step_response(n)
    return response(N, n, gain).minus(legs).norm(T) / legs.norm(T)


def figure(N: int, n: int, level: str) -> Found:
    """Distance from the published figure; the bound is half a unit of its last digit."""
    measured, (published, _) = distance(N, n), PUBLISHED[N, n]
    yield abs(measured - published), f"error {measured:.3e}, published {published:.1e}"


def whole(level: str) -> Found:
    """With B in place of ½B the error is 1.00: x_0 tends to twice LegS's."""
    for N in (64, 256):
        measured = distance(N, 0, gain=1.0)
        yield abs(measured - 1.0), f"error {measured:.4f} at N = {N}"


STATEMENTS = [
    *(
        Statement(NAME, PAGE, f"N = {N}, n = {n}", 0.5 * unit, partial(figure, N, n))
        for (N, n), (_, unit) in PUBLISHED.items()
    ),
    Statement(NAME, PAGE, "B instead of ½B, n = 0", 0.005, whole),
]
