"""HiPPO-LegS, its normal part and the state matrix: golden values of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.random import generator
from s5ref.ssm.hippo import (
    STATE_INITS,
    StateMatrix,
    diagonalise,
    hippo,
    legs,
    legs_input,
    legs_low_rank,
    legs_normal,
    state_matrix,
)

EPS = np.finfo(np.float64).eps


def test_legs_by_its_definition() -> None:
    A = legs(4)
    for n in range(4):
        for k in range(4):
            want = -np.sqrt((2 * n + 1) * (2 * k + 1)) if n > k else -(n + 1) if n == k else 0
            assert abs(A[n, k] - want) <= 2 * EPS * abs(want)
    assert np.max(np.abs(legs_input(3) - np.sqrt([1, 3, 5]))) <= 4 * EPS
    assert np.max(np.abs(legs_low_rank(3) - np.sqrt([0.5, 1.5, 2.5]))) <= 4 * EPS


@pytest.mark.parametrize("n", [1, 2, 16, 64])
def test_legs_is_normal_minus_rank_one_and_the_normal_part_is_normal(n: int) -> None:
    S, p = legs_normal(n), legs_low_rank(n)
    tolerance = 4 * n * EPS * n  # roundings of entries of size ≤ 2n
    assert np.max(np.abs(S - np.outer(p, p) - legs(n))) <= tolerance
    assert np.max(np.abs(S + S.T + np.eye(n))) <= tolerance  # −½ I plus a skew matrix
    assert np.max(np.abs(S @ S.T - S.T @ S)) <= tolerance * n**2


@pytest.mark.parametrize("n", [1, 2, 16, 64, 128])
def test_diagonalisation(n: int) -> None:
    """V unitary, A_normal = V Λ Vᴴ, Re Λ = −½ exactly, Im Λ ascending and in conjugate pairs. eigh is
    backward stable."""
    Lambda, V = diagonalise(n)
    size = np.max(np.abs(Lambda))
    assert np.max(np.abs(V.conj().T @ V - np.eye(n))) <= 8 * n * EPS
    assert np.max(np.abs(V @ np.diag(Lambda) @ V.conj().T - legs_normal(n))) <= 8 * n * EPS * size
    assert (Lambda.real == -0.5).all()
    assert (np.diff(Lambda.imag) > 0).all()
    assert np.max(np.abs(Lambda.imag + Lambda.imag[::-1])) <= 8 * n * EPS * size


@pytest.mark.parametrize(("block", "largest"), [(16, 80.97), (32, 325.0), (64, 1303.0), (128, 5215.0)])
def test_largest_frequency(block: int, largest: float) -> None:
    got = np.max(np.abs(state_matrix(block, 1, True).Lambda.imag))
    digits = 0.005 if block == 16 else 0.5  # as many as the golden value has
    assert abs(got - largest) <= digits


def test_block_of_two() -> None:
    """Every state starts at −½ − ½√3 i."""
    Lambda = state_matrix(8, 4, True).Lambda
    assert Lambda.shape == (4,)
    assert np.max(np.abs(Lambda - (-0.5 - 0.5j * np.sqrt(3)))) <= 4 * EPS


@pytest.mark.parametrize(("P", "J"), [(8, 1), (8, 2), (12, 3)])
def test_state_matrix_reconstructs_the_block_diagonal_matrix(P: int, J: int) -> None:
    """With conj_sym the kept half, of negative imaginary parts, and its conjugate give the whole."""
    block, size = P // J, 4 * P**2
    A = np.kron(np.eye(J), legs_normal(block))
    full, half = state_matrix(P, J, False), state_matrix(P, J, True)
    assert np.max(np.abs(full.V @ np.diag(full.Lambda) @ full.inverse - A)) <= 8 * size * EPS
    part = half.V @ np.diag(half.Lambda) @ half.inverse
    assert np.max(np.abs(2 * part.real - A)) <= 8 * size * EPS
    assert (half.Lambda.imag < 0).all()
    assert half.V.shape == (P, P // 2)
    np.testing.assert_array_equal(half.Lambda[: block // 2], full.Lambda[: block // 2])


@pytest.mark.parametrize(
    ("P", "J", "conj_sym"), [(8, 3, False), (6, 2, True), (8, 0, True), (0, 1, True), (3, 1, True)]
)
def test_refuses_blocks_that_do_not_fit(P: int, J: int, conj_sym: bool) -> None:
    with pytest.raises(S5Error, match=r"must divide|must be even") as refused:
        state_matrix(P, J, conj_sym)
    assert str(P) in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "conj_sym"),
    [
        ("antisymmetric", True), ("antisymmetric", False), ("antisymmetric_wide", True),
        ("antisymmetric_wide", False), ("gaussian", False),  # whose real eigenvalues have no conjugates
    ],
)  # fmt: skip
def test_a_random_state_matrix_is_real_and_reproducible(name: str, conj_sym: bool) -> None:
    """Both halves of conjugate pairs, or all states, give a real block-diagonal matrix."""

    def drawn() -> StateMatrix:
        rng = generator(3, "A")
        return state_matrix(16, 2, conj_sym, lambda n: STATE_INITS[name](n, rng))

    state = drawn()
    kept = state.V @ np.diag(state.Lambda) @ state.inverse
    A = kept + kept.conj() if conj_sym else kept
    error = 1e-13 * np.linalg.cond(state.V) * np.abs(state.Lambda).max()
    assert np.abs(np.imag(A)).max() <= error
    assert np.abs(A[:8, 8:]).max() == 0
    assert np.abs(A[:8, :8] - A[8:, 8:]).max() > 0.1  # each block is a draw of its own
    np.testing.assert_array_equal(drawn().Lambda, state.Lambda)
    if name != "gaussian":
        S = A.real + 0.5 * np.eye(16)
        assert np.abs(S + S.T).max() <= 2 * error


def test_the_wide_antisymmetric_matrix_has_the_frequencies_of_hippo() -> None:
    got = STATE_INITS["antisymmetric_wide"](32, generator(0, "A")).Lambda.imag.max()
    assert abs(got / hippo(32).Lambda.imag.max() - 1) < 1e-12


def test_the_gaussian_matrix_fills_its_disc() -> None:
    Lambda = STATE_INITS["gaussian"](256, generator(0, "A")).Lambda
    assert np.abs(Lambda + 0.5).max() < 0.6
    assert abs(np.mean(np.abs(Lambda + 0.5) ** 2) - 0.125) < 0.01  # of the uniform disc of radius ½
    assert (Lambda.imag == 0).sum() > 4
