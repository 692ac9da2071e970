"""HiPPO-LegS, its normal part and the state matrix: golden values of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.ssm.hippo import diagonalise, legs, legs_input, legs_low_rank, legs_normal, state_matrix

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
    assert np.max(np.abs(full.V @ np.diag(full.Lambda) @ full.V.conj().T - A)) <= 8 * size * EPS
    part = half.V @ np.diag(half.Lambda) @ half.V.conj().T
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
