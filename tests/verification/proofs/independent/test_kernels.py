"""The independent S4 and S4D as properties of random state matrices, and what mistakes in them look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.verification.proofs.independent import convolution, matrices, s4, s4d
from s5ref.verification.proofs.independent.matrices import DPLR

LIMIT = 1e-12
PROPERTY = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(1e-2, 0.5)


def error(got: npt.NDArray[Any], want: npt.NDArray[Any]) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def random_dplr(seed: int, N: int, H: int = 2, M: int = 2) -> tuple[DPLR, matrices.C128]:
    """Re Λ ≤ −½ and P = Q: A = Λ − PP* has Re λ ≤ −½ too. (form, C (M, N))."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(N + 1 + H + M, N)) + 1j * rng.normal(size=(N + 1 + H + M, N))
    Lambda = -0.5 - rng.exponential(size=N) + 5j * rng.normal(size=N)
    P = parts[0]
    return DPLR(Lambda, P, P, parts[1 : 1 + H].T, np.eye(N) + 0j), parts[1 + H : 1 + H + M]


@PROPERTY
@given(seeds, st.integers(1, 12), st.integers(1, 130), steps)
def test_dplr_kernel_is_powers(seed: int, N: int, L: int, Delta: float) -> None:
    s, C = random_dplr(seed, N)
    A_bar, B_bar = s4.discretised(s.dense(), s.B, Delta)
    assert error(s4.kernel(s, s4.truncated(C, A_bar, L), Delta, L), s4.powers(A_bar, B_bar, C, L)) <= LIMIT


@PROPERTY
@given(seeds, st.integers(1, 12), st.integers(1, 130), steps)
def test_recurrent_form_is_kernel(seed: int, N: int, L: int, Delta: float) -> None:
    s, C = random_dplr(seed, N, H=1)
    u = np.random.default_rng(seed).normal(size=(L, 1))
    A_bar, _ = s4.discretised(s.dense(), s.B, Delta)
    C_tilde = s4.truncated(C, A_bar, L)
    want = convolution.per_input(s4.kernel(s, C_tilde, Delta, L), u)[0]
    assert error(s4.recurrent(s, Delta, u) @ s4.recovered(C_tilde, A_bar, L).T, want) <= LIMIT


def test_mistakes_in_the_dplr_kernel_are_seen() -> None:
    """C for C̃, the low-rank term left out, its sign turned, the printed form at ω = −1."""
    s, C = random_dplr(0, 6)
    L, Delta = 32, 0.1
    A_bar, B_bar = s4.discretised(s.dense(), s.B, Delta)
    C_tilde, want = s4.truncated(C, A_bar, L), s4.powers(A_bar, B_bar, C, L)
    assert error(s4.kernel(s, C, Delta, L), want) > 1e-3
    assert error(s4.kernel(s._replace(P=0 * s.P), C_tilde, Delta, L), want) > 1e-3
    assert error(s4.kernel(s._replace(P=-s.P), C_tilde, Delta, L), want) > 1e-3
    assert not np.isfinite(s4.kernel_as_printed(s, C_tilde, Delta, L)).all()


def test_fout_has_a_pole_at_one_unless_clamped() -> None:
    s = matrices.dplr(matrices.fout(8))
    s = s._replace(Lambda=np.where(np.abs(s.Lambda) < 1e-10, 0, s.Lambda))
    C = np.ones((1, 8)) + 0j
    with np.errstate(divide="ignore", invalid="ignore"):
        assert not np.isfinite(s4.kernel(s, C, 0.1, 16)).all()
    clamped = s._replace(Lambda=matrices.clamped(s.Lambda))
    assert np.isfinite(s4.kernel(clamped, C, 0.1, 16)).all()
    assert (clamped.Lambda.real == -1e-4).sum() == 8


@pytest.mark.parametrize("name", matrices.S4D_STARTS)
@pytest.mark.parametrize("rule", s4d.RULES)
def test_s4d_kernel_is_its_recurrence(name: str, rule: str) -> None:
    """2 Re(C x_k) for a unit impulse; and neither rule is the other."""
    A, B = matrices.s4d_start(name, 12)
    assert (A.real <= 1e-12).all()
    assert (A.imag <= 1e-12).all()
    C, L, Delta = np.arange(1, 7) - 2j, 40, 0.07
    A_bar, gain = s4d.discretised(A, Delta, rule)
    x, want = gain * B, []
    for _ in range(L):
        want.append(2 * (C @ x).real)
        x = A_bar * x
    K = s4d.kernel(A, B, C, Delta, L, rule)
    assert error(K, np.array(want)) <= LIMIT
    other = s4d.RULES[1 - s4d.RULES.index(rule)]
    assert error(s4d.kernel(A, B, C, Delta, L, other), K) > 1e-4


@pytest.mark.parametrize("N", [2, 8, 16])
def test_initial_matrices(N: int) -> None:
    n = np.arange(N // 2)
    legs, _ = matrices.s4d_start("LegS", N)
    every = np.linalg.eigvals(matrices.normal_part(matrices.legs(N)))
    assert error(np.sort(legs.imag), np.sort(every.imag)[: N // 2]) <= LIMIT
    assert error(legs.real, np.full(N // 2, -0.5)) <= LIMIT
    assert error(np.sort(-matrices.s4d_start("FouT", N)[0].imag), np.pi * n + 1e-300) <= LIMIT or N == 2
    assert matrices.s4d_start("Inv", N)[0][0] == -0.5 - 1j * (N / np.pi) * (N - 1)
    assert matrices.s4d_start("Lin", N)[0][-1] == -0.5 - 1j * np.pi * (N // 2 - 1)
    assert (matrices.s4d_start("Real", N)[0] == -(n + 1)).all()
    skew = matrices.normal_part(matrices.fout(N))
    assert (skew == -skew.T).all()


@PROPERTY
@given(seeds, st.integers(1, 40))
def test_convolutions_are_their_sums(seed: int, L: int) -> None:
    rng = np.random.default_rng(seed)
    K0, K1, u = rng.normal(size=(L, 2, 3)), rng.normal(size=(L, 2, 3)), rng.normal(size=(L, 3))
    zero = np.zeros(2)
    past = np.array([sum((K0[j] @ u[t - j] for j in range(t + 1)), zero) for t in range(L)])
    ahead = np.array([sum((K1[j] @ u[t + j] for j in range(L - t)), zero) for t in range(L)])
    later = np.array([sum((K1[j] @ u[t + 1 + j] for j in range(L - 1 - t)), zero) for t in range(L)])
    scale = np.abs(K0).sum() + np.abs(K1).sum()
    assert np.abs(convolution.causal(K0, u) - past).max() <= LIMIT * scale
    assert np.abs(convolution.anticausal(K1, u) - ahead).max() <= LIMIT * scale
    assert np.abs(convolution.s4_bidirectional(K0, K1, u) - past - later).max() <= LIMIT * scale
    assert np.abs(convolution.per_input(K0 + 0j, u).sum(axis=0) - past).max() <= LIMIT * scale
    assert np.abs(ahead - later).max() > 1e-6  # shifted or not is no detail
