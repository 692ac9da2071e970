"""What the two rules promise as Δ → 0, and what ZOH promises at every Δ: docs/derivations/orders.md.

Slopes are log₂ e(Δ)/e(Δ/2) of the largest error over states and times. The next term of the error's
expansion is at most rΔ (first order) or (rΔ)² (second) of the leading one, r the fastest rate of the
problem: so far may a slope be from its order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import log

import numpy as np

from s5ref.ssm import hippo
from s5ref.verification.draws import Normal
from s5ref.verification.proofs.independent import continuous, matrices
from s5ref.verification.proofs.independent.matrices import C128, F64
from s5ref.verification.proofs.theorems.equivalence import drive
from s5ref.verification.proofs.theorems.statement import (
    LIMIT,
    S5,
    Measured,
    Statement,
    by_rule,
    error,
    scan,
    taken,
)

PAGE = "orders.md"
EXACT = "ZOH is exact for held inputs"
RATES = np.array([-0.5 - 1.5j, -1.0 - 3.0j, -2.0 - 1.0j])
OMEGA = np.array([1.3, 2.9])  # the smooth inputs: cos(Ω_h t)
R = float(max(np.abs(RATES).max(), OMEGA.max()))
T, FINE = 4.0, 128


def states(Lambda: C128, B: C128, Delta: float, u: F64, rule: str) -> C128:
    """States (L, P) of s5ref's scan. The outputs are not used."""
    P, H = B.shape
    return scan(
        S5(Lambda, np.full(P, Delta), B, np.zeros((H, P), dtype=np.complex128), np.zeros(H), rule), u
    )[0]


def inputs(P: int) -> C128:
    """B of ones and i: every state hears both inputs."""
    return np.tile(np.array([[1.0, 1j]]), (P, 1))


def exact_smooth(times: F64) -> C128:
    """x_p(t) for u = cos(Ω_h t): Σ_h b_ph Re-part by e^{±iΩt}: (e^{iΩt} − e^{λt})/(iΩ − λ)."""
    t, lam, b = times[:, None, None], RATES[None, :, None], inputs(len(RATES))[None]
    parts = [(np.exp(s * OMEGA * t) - np.exp(lam * t)) / (s * OMEGA - lam) for s in (1j, -1j)]
    return np.asarray((b * (parts[0] + parts[1]) / 2).sum(axis=2))


def sampled_error(rule: str, offset: float, m: int) -> float:
    """Largest error on the grid of unit times with u_k = u((k − offset)Δ), Δ = 1/m."""
    k = np.arange(1, int(T) * m + 1)
    got = states(RATES, inputs(len(RATES)), 1 / m, np.cos(np.outer((k - offset) / m, OMEGA)), rule)
    return float(np.abs(got - exact_smooth(k / m))[m - 1 :: m].max())


def held_error(m: int) -> float:
    """Largest error of the bilinear rule at the ends of unit intervals on which u is constant, against
    ZOH's closed form."""
    levels = drive(int(T), 2)
    got = states(RATES, inputs(len(RATES)), 1 / m, np.repeat(levels, m, axis=0), "bilinear")[m - 1 :: m]
    x, want = np.zeros(len(RATES), dtype=np.complex128), []
    for level in levels:
        x = np.exp(RATES) * x + np.expm1(RATES) / RATES * (inputs(len(RATES)) @ level)
        want.append(x)
    return float(np.abs(got - np.array(want)).max())


def slope(error_of: Callable[[int], float], order: int, level: str = "") -> Measured:
    """|slope − order| of an error from FINE steps to a unit of time to twice as many."""
    coarse, fine = error_of(FINE), error_of(2 * FINE)
    measured = log(coarse / fine, 2)
    yield abs(measured - order), f"slope {measured:.4f}, errors {coarse:.1e} → {fine:.1e}"


def sampled(offset: float, order: int, rule: str, level: str) -> Measured:
    return slope(partial(sampled_error, rule, offset), order)


def real_states(N: int, Delta: float, B: F64, u: F64, rule: str) -> F64:
    """x = 2 Re(V x̃) of HiPPO-N."""
    state = hippo.state_matrix(N, 1, True)
    return np.asarray(2 * (states(state.Lambda, state.V.conj().T @ B, Delta, u, rule) @ state.V.T).real)


def driven(key: str, N: int, H: int) -> tuple[F64, F64]:
    """A_normal and a random B (N, H)."""
    return matrices.normal_part(matrices.legs(N)), Normal("theorems", key, N)(N, H)


def exact_held(level: str) -> Measured:
    """Any number m of steps to an interval, against the exponential of the dense augmented matrix."""
    for N, hold, m in product((2, 8, 16), (0.05, 0.5), (1, 5)):
        A, B = driven("held", N, 3)
        step = float(taken(np.array(hold / m)))
        levels = drive(12, 3)
        A_bar, B_bar = continuous.held_step(A, B, m * step)
        want, x = np.empty((len(levels), N)), np.zeros(N)
        for i, u in enumerate(levels):
            want[i] = x = A_bar @ x + B_bar @ u
        got = real_states(N, step, B, np.repeat(levels, m, axis=0), "zoh")[m - 1 :: m]
        yield error(got, want), f"N = {N}, hold {hold}, {m} steps to it"


def exact_ode(level: str) -> Measured:
    """The same against an adaptive integrator. A_normal contracts, so its local errors add up at most:
    steps × tolerance."""
    for N in (4, 8):
        A, B = driven("held", N, 3)
        levels, step = drive(6, 3), float(taken(np.array(0.3)))
        ode = continuous.integrate_held(A, B, levels, step)
        allowed = ode.steps * continuous.TOLERANCE * N**0.5
        measured = error(real_states(N, step, B, levels, "zoh"), ode.states)
        yield measured / allowed, f"error {measured:.1e}, N = {N}, {ode.steps} integrator steps"


def limit(rule: str, level: str) -> Measured:
    """HiPPO-N driven by smooth inputs, midpoint samples, against the integrator: the error over its
    a-priori bound."""
    N, horizon = 8, 2.0
    A, B = driven("limit", N, 2)
    times = np.linspace(0, horizon, 9)
    want = continuous.integrate(A, B, lambda t: np.cos(OMEGA * t), times).states[1:]
    rate, size = float(np.linalg.norm(A, 2)), float(np.linalg.norm(B, 2)) * 2**0.5
    for m in (64, 256, 1024):
        k, Delta = np.arange(1, int(horizon) * m + 1), 1 / m
        got = real_states(N, Delta, B, np.cos(np.outer((k - 0.5) * Delta, OMEGA)), rule)[m // 4 - 1 :: m // 4]
        bound = Delta**2 * size * horizon * (OMEGA.max() ** 2 / 24 + rate * OMEGA.max() / 12)
        if rule == "bilinear":
            bound += Delta**2 * size * horizon * rate**2 / 12 * (1 + rate * horizon / 2)
        measured = float(np.linalg.norm(got - want, axis=1).max())
        yield measured / bound, f"error {measured:.1e}, Δ = 1/{m}"


FIRST_BOUND, SECOND_BOUND = R / FINE / log(2), (R / FINE) ** 2 / log(2)
FROM_1, FROM_2 = "distance of the slope from 1", "distance of the slope from 2"
STATEMENTS = [
    Statement(EXACT, PAGE, "against the matrix exponential", LIMIT, exact_held),
    Statement(EXACT, PAGE, "against the integrator, in its tolerance", 1.0, exact_ode),
    Statement(
        "Bilinear is second order for held inputs", PAGE, FROM_2, SECOND_BOUND, partial(slope, held_error, 2)
    ),
    *by_rule(
        "Samples at the end of a step are first order", PAGE, partial(sampled, 0.0, 1), f"{{}}, {FROM_1}",
        FIRST_BOUND,
    ),
    *by_rule(
        "Midpoint samples are second order", PAGE, partial(sampled, 0.5, 2), f"{{}}, {FROM_2}", SECOND_BOUND
    ),
    *by_rule("Δ → 0 gives the ODE", PAGE, limit, "{}, error over its bound", 1.0),
]  # fmt: skip
