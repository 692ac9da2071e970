"""The real state-space form against scipy.signal: discretised, as an impulse response, there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

from s5ref import SSM, ConfigError, NumericalError, ShapeError, StateSpace, from_state_space
from s5ref.random import generator

H, P, L = 3, 8, 40
RULES = {"zoh": "zoh", "bilinear": "bilinear", "dirac": "impulse"}  # ours: scipy.signal's


def model(**options: Any) -> tuple[SSM, dict[str, Any]]:
    ssm = SSM(**{"d_model": H, "ssm_size": P, "dt_min": 0.05, "dt_max": 0.4, **options})
    return ssm, ssm.init(seed=2, dtype="float64")


@pytest.mark.parametrize("conj_sym", [True, False])
@pytest.mark.parametrize("rule", ["zoh", "async"])
@pytest.mark.parametrize("rescale", [1.0, 0.5])
def test_discretised_by_scipy_it_is_the_layer_under_zero_order_hold(
    conj_sym: bool, rescale: float, rule: str
) -> None:
    ssm, params = model(conj_sym=conj_sym, discretization=rule)
    u = generator("state space", "u").standard_normal((L, H))
    *discrete, _ = signal.cont2discrete(ssm.to_state_space(params), rescale, "zoh")
    # scipy's y_k = C x_k + D u_k with x_{k+1} = Ā x_k + B̄ u_k: its state comes a step later than ours
    A, B, C, D = discrete
    _, y, _ = signal.dlsim((A, B, C @ A, C @ B + D, 1.0), u)
    want = ssm.forward(params, u[None], engine="sequential", step_rescale=rescale).y[0]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-12 * np.abs(want).max())


@pytest.mark.parametrize("rescale", [1.0, 0.5])
def test_first_order_hold_is_scipys(rescale: float) -> None:
    """scipy's state is x_k − g₊Bu_k, in which x_{k+1} depends on u_k alone; the outputs are the same."""
    ssm, params = model(discretization="foh")
    u = generator("state space", "u").standard_normal((L, H))
    *discrete, _ = signal.cont2discrete(ssm.to_state_space(params), rescale, "foh")
    _, y, _ = signal.dlsim((*discrete, 1.0), u)
    want = ssm.forward(params, u[None], engine="sequential", step_rescale=rescale).y[0]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_the_bilinear_rule_is_scipys() -> None:
    """Tustin's Λ̄; scipy spreads the input over two steps where S5 takes it whole, so the gains differ."""
    ssm, params = model(discretization="bilinear")
    system = ssm.to_state_space(params)
    A, *_ = signal.cont2discrete(system, 1.0, "bilinear")
    n = np.linalg.inv(np.eye(len(A)) - system.A / 2)
    np.testing.assert_allclose(A, n @ (np.eye(len(A)) + system.A / 2), atol=1e-13)
    stepper = ssm.stepper(params)
    kept = P // 2
    Lambda_bar = A[:kept, :kept] + 1j * A[kept:, :kept]
    np.testing.assert_allclose(Lambda_bar, np.diag(stepper.Lambda_bar), atol=1e-13)
    B_bar = n @ system.B
    np.testing.assert_allclose(B_bar[:kept] + 1j * B_bar[kept:], stepper.B_bar, atol=1e-13)


def test_impulses_give_the_impulse_response() -> None:
    """dirac: the layer's kernel is the impulse response of the continuous system at the sampling times."""
    ssm, params = model(discretization="dirac")
    params = params | {"D": np.zeros(H)}
    Delta = np.exp(params["log_step"])
    params["B"] = params["B"] / Delta[:, None, None]  # to_state_space folds Δ into B; an impulse has no Δ
    A, B, C, _ = ssm.to_state_space(params)
    params["B"] = params["B"] * Delta[:, None, None]
    for h in range(H):
        u = np.zeros((1, L, H))
        u[0, 0, h] = 1
        got = ssm.forward(params, u, engine="sequential").y[0]
        for out in range(H):
            _, want = signal.impulse((A, B[:, [h]], C[[out]], np.zeros((1, 1))), T=np.arange(float(L)))
            np.testing.assert_allclose(got[:, out], want, atol=1e-10)


def test_frequency_response() -> None:
    """y of a long sinusoid has the amplitude and phase of C (e^{iω} − Ā)⁻¹ B̄ e^{iω} + D."""
    ssm, params = model()
    A, B, C, D, _ = signal.cont2discrete(ssm.to_state_space(params), 1.0, "zoh")
    omega, steps = 0.7, 4000
    u = np.zeros((1, steps, H))
    u[0, :, 1] = np.cos(omega * np.arange(steps))
    y = ssm.forward(params, u, engine="numpy").y[0, -1]
    z = np.exp(1j * omega)
    response = C @ np.linalg.solve(z * np.eye(len(A)) - A, B) * z + D
    np.testing.assert_allclose(y, (response[:, 1] * z ** (steps - 1)).real, atol=1e-9)


def test_there_and_back() -> None:
    ssm, params = model()
    back = from_state_space(ssm.to_state_space(params))
    u = generator("state space", "back").standard_normal((2, L, H))
    other = SSM(d_model=H, ssm_size=P)
    np.testing.assert_allclose(
        other.forward(back, u, engine="numpy").y, ssm.forward(params, u, engine="numpy").y, atol=1e-11
    )


def test_a_real_system_with_real_and_complex_poles() -> None:
    A = np.array([[-0.3, 0, 0], [0, -0.1, 2.0], [0, -2.0, -0.1]])
    n = generator("state space", "real").standard_normal
    system = StateSpace(A, n((3, 2)), n((2, 3)), np.diag([0.5, -1.0]))
    params = from_state_space(system)
    assert params["Lambda_re"].shape == (2,)
    u = n((L, 2))
    Ad, Bd, C, D, _ = signal.cont2discrete(system, 1.0, "zoh")
    _, want, _ = signal.dlsim((Ad, Bd, C @ Ad, C @ Bd + D, 1.0), u)
    got = SSM(d_model=2, ssm_size=4).forward(params, u[None], engine="numpy").y[0]
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_refusals() -> None:
    ssm, params = model(bidirectional=True)
    with pytest.raises(ConfigError, match="bidirectional"):
        ssm.to_state_space(params)
    with pytest.raises(NumericalError, match="independent"):
        from_state_space((np.array([[1.0, 1.0], [0.0, 1.0]]), np.ones((2, 1)), np.ones((1, 2)), np.ones(1)))
    with pytest.raises(ShapeError, match="diagonal"):
        from_state_space((-np.eye(2), np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2))))
    with pytest.raises(ShapeError, match="B must be"):
        from_state_space((-np.eye(2), np.ones((3, 2)), np.ones((2, 2)), np.ones(2)))
