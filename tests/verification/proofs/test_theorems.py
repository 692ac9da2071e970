"""The theorems of docs/derivations: the table, properties of random sizes, and what breaks each row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.errors import S5Error
from s5ref.ssm import hippo
from s5ref.verification.proofs import theorems
from s5ref.verification.proofs.independent import continuous, matrices, s4, s4d
from s5ref.verification.proofs.theorems import convolution, equivalence, hippo_n, kernels, orders
from s5ref.verification.proofs.theorems.statement import S5, Statement, error, residual, scan, taken

DOCS = Path(__file__).parents[3] / "docs" / "derivations"
LIMIT = 1e-12
PROPERTY = settings(max_examples=30, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)
sizes = st.integers(1, 8).map(lambda n: 2 * n)
steps = st.floats(1e-2, 0.3)
rules = st.sampled_from(s4d.RULES)


def label(statement: Statement) -> str:
    return f"{statement.name}: {statement.case}"


@pytest.mark.parametrize("statement", theorems.STATEMENTS, ids=label)
def test_row_holds_and_its_page_states_it(statement: Statement) -> None:
    row = statement.row("quick")
    assert row.passed, f"{row.measured} > {row.bound}: {row.detail}"
    assert f"**{statement.name}**" in (DOCS / statement.page).read_text(encoding="utf-8")


def bent(x: Any) -> Any:
    """A hundredth wrong, and not linear."""
    return x * (1 + 1e-2 * np.abs(x) / (np.abs(x).max() + 1e-300) + 1e-2 * np.abs(x))


def bent_scan(s: S5, u: matrices.F64, *resets: Any) -> tuple[matrices.C128, matrices.F64]:
    x, y = scan(s, u, *resets)
    return bent(x), bent(y - s.D * u) + s.D * u


MODULES = (equivalence, convolution, orders)
SCANNED = [s for module in MODULES for s in module.STATEMENTS if s.engine == "sequential"]


@pytest.mark.parametrize("statement", SCANNED, ids=label)
def test_a_wrong_scan_fails_the_row(statement: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "scan", bent_scan)
    assert not statement.row("quick").passed


@pytest.mark.parametrize("statement", hippo_n.STATEMENTS, ids=label)
def test_a_wrong_state_matrix_fails_the_row(statement: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = hippo.legs_input
    monkeypatch.setattr(hippo, "legs_input", lambda n: 1.1 * correct(n))
    assert not statement.row("quick").passed


@pytest.mark.parametrize("statement", [s for s in theorems.STATEMENTS if s.engine == ""], ids=label)
def test_a_wrong_independent_side_fails_the_row(
    statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of the S4 kernel, the S4D kernel and LegS's closed form a millionth off."""

    def off(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: (1 + 1e-6) * f(*args)

    for module, name in ((s4, "kernel"), (s4d, "kernel"), (continuous, "legs_kernel")):
        monkeypatch.setattr(module, name, off(getattr(module, name)))
    assert not statement.row("quick").passed


def test_the_table_is_printed_and_returned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (
        *kernels.STATEMENTS[-1:],
        Statement("false", "s4.md", "case", 1.0, lambda _: iter([(2.0, "here")])),
    )
    monkeypatch.setattr(theorems, "STATEMENTS", few)
    rows = theorems.show()
    assert [row.passed for row in rows] == [True, False]
    printed = capsys.readouterr().out
    assert "1 of 2 rows hold" in printed
    assert "✗" in printed
    assert {row.group for row in rows} == {"theorems"}
    with pytest.raises(S5Error, match="level"):
        list(theorems.theorems("slow"))


def test_a_check_that_measures_nothing_fails() -> None:
    assert not Statement("empty", "s4.md", "", 1.0, lambda _: iter([])).row("quick").passed


@PROPERTY
@given(seeds, sizes, st.integers(1, 4), st.integers(1, 60), steps, rules, st.booleans())
def test_s5_state_is_the_sum_of_s4_states(
    seed: int, N: int, H: int, L: int, step: float, rule: str, vector: bool
) -> None:
    Delta = step * np.geomspace(0.5, 1.5, N // 2) if vector else np.array([step])
    s, _, _ = equivalence.random_s5(N, 1, H, Delta, rule, True, seed)
    u = equivalence.drive(L, H, seed)
    parts = equivalence.s4_states(s.Lambda, s.B, s.Delta, L, rule, u)
    x, y = scan(s, u)
    assert error(x, parts.sum(axis=0)) <= LIMIT
    stacked = np.concatenate(list(parts), axis=1)
    assert residual(y, s.D * u, 2 * (stacked @ np.tile(s.C, (1, H)).T).real) <= LIMIT
    assert error(x, parts[1:].sum(axis=0) + 0.5 * parts[0]) > 1e-6  # half of one S4 missing


@PROPERTY
@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), steps, rules)
def test_j_blocks_are_j_ssms(seed: int, half: int, J: int, H: int, L: int, step: float, rule: str) -> None:
    N = 2 * half
    s, _, _ = equivalence.random_s5(N * J, J, H, np.array([step]), rule, True, seed)
    u = equivalence.drive(L, H, seed)
    total = np.zeros((L, H))
    for j in range(J):
        kept = slice(j * half, (j + 1) * half)
        one = s._replace(Lambda=s.Lambda[kept], Delta=s.Delta[kept], B=s.B[kept], C=s.C[:, kept], D=0 * s.D)
        assert error(scan(one, u)[0], scan(s, u)[0][:, kept]) <= LIMIT
        total += scan(one, u)[1]
    assert residual(scan(s, u)[1], s.D * u, total) <= LIMIT


@PROPERTY
@given(seeds, st.integers(1, 12), st.integers(1, 3), st.integers(1, 80), rules, st.booleans())
def test_scan_is_convolution(seed: int, P: int, H: int, L: int, rule: str, conj_sym: bool) -> None:
    """Any decaying Λ, not HiPPO's only; both directions, and S4's shifted kernel."""
    rng = np.random.default_rng(seed)
    draw = [rng.normal(size=(2, P, H)) for _ in range(3)]
    B, C1, C2 = (a + 1j * b for a, b in draw)
    Lambda = -rng.exponential(size=P) + 4j * rng.normal(size=P)
    s = S5(Lambda, taken(rng.uniform(0.01, 0.5, P)), B, C1.T, rng.normal(size=H), rule, conj_sym, C2.T)
    u = rng.normal(size=(L, H))
    K1, K2 = convolution.kernels(s, L)
    past, ahead = convolution.convolution.causal(K1, u), convolution.convolution.anticausal(K2, u)
    y = scan(s, u)[1]
    assert residual(y, s.D * u, past + ahead) <= 1e-11
    assert residual(scan(s._replace(C_back=None), u)[1], s.D * u, past) <= 1e-11
    assert residual(y, s.D * u, past + ahead - u @ K2[0].T) > 1e-6  # u_k enters the backward sum too


@PROPERTY
@given(st.integers(1, 48), st.floats(0.1, 3), st.floats(-50, 50))
def test_hippo_n_is_legs_driven_by_its_own_feedback(N: int, re: float, im: float) -> None:
    """Bᵀ(s − A_LegS)⁻¹B = 1 − R_N(s), and x̂^N = x̂/(1 + R_N); ½B is what makes it so."""
    z, n = complex(re, im), np.arange(N)
    R = np.concatenate([[1], np.cumprod((z - n) / (z + n + 1))])
    m = matrices.legs(N)
    legs = np.linalg.solve(z * np.eye(N) - m.A, m.B)
    assert abs(m.B @ legs - (1 - R[-1])) <= LIMIT * N
    normal = np.linalg.solve(z * np.eye(N) - hippo.legs_normal(N), hippo.legs_input(N) / 2)
    assert error(normal, legs / (1 + R[-1])) <= LIMIT
    assert error(normal, legs / (2 + 2 * R[-1])) > 0.1


@PROPERTY
@given(seeds, sizes, st.integers(1, 5), st.floats(0.02, 0.5))
def test_zoh_is_exact_for_held_inputs_and_bilinear_is_not(seed: int, N: int, m: int, hold: float) -> None:
    A, B = matrices.normal_part(matrices.legs(N)), np.random.default_rng(seed).normal(size=(N, 2))
    step = float(taken(np.array(hold / m)))
    A_bar, B_bar = continuous.held_step(A, B, m * step)
    levels = np.repeat(u := equivalence.drive(3, 2, seed), m, axis=0)
    want = A_bar @ (A_bar @ (B_bar @ u[0]) + B_bar @ u[1]) + B_bar @ u[2]
    assert error(orders.real_states(N, step, B, levels, "zoh")[-1], want) <= LIMIT
    assert error(orders.real_states(N, step, B, levels, "bilinear")[-1], want) > 1e-9


def test_the_closed_forms_solve_the_ode() -> None:
    """What the orders are measured against: LegS's step response and the response to cosines."""
    m, times = matrices.legs(5), np.linspace(0, 2, 5)
    ode = continuous.integrate(m.A, m.B[:, None], lambda _: np.ones(1), times).states
    closed = np.array([continuous.legs_step_response(n)(times).real for n in range(5)]).T
    assert np.abs(ode - closed).max() <= 1e-11
    lam, b = orders.RATES[0], orders.inputs(1)[0]
    A = np.array([[lam.real, -lam.imag], [lam.imag, lam.real]])
    B = np.array([b.real, b.imag])
    x = continuous.integrate(A, B, lambda t: np.cos(orders.OMEGA * t), times).states
    assert np.abs(x[:, 0] + 1j * x[:, 1] - orders.exact_smooth(times)[:, 0]).max() <= 1e-11
    assert np.abs(x[:, 0] - 1j * x[:, 1] - orders.exact_smooth(times)[:, 0]).max() > 0.1
