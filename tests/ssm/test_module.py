"""The SSM and the scan as a user calls them: values, gradients, steps, engines by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref.random import generator

N, L, H, P = 2, 30, 3, 8
ENGINES = ["sequential", "numpy", "numba"]


def made(**options: Any) -> tuple[s5ref.SSM, Any, Any]:
    ssm = s5ref.SSM(**{"d_model": H, "ssm_size": P, **options})
    return ssm, ssm.init(seed=1, dtype="float64"), generator("ssm", "u").standard_normal((N, L, H))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True}, {"discretization": "dirac"}, {"conj_sym": False}]
)
def test_the_vjp_is_the_derivative(engine: str, options: dict[str, Any]) -> None:
    ssm, params, u = made(**options)
    rng = generator("ssm", "directions", str(options))
    out, vjp = ssm.forward_and_vjp(params, u, engine=engine)
    dy = rng.standard_normal(out.y.shape)
    dparams, du, _ = vjp(dy)
    moves = {name: rng.standard_normal(leaf.shape) for name, leaf in params.items()}
    du_move, h = rng.standard_normal(u.shape), 1e-6

    def value(t: float) -> float:
        moved = {name: leaf + t * moves[name] for name, leaf in params.items()}
        return float(np.sum(dy * ssm.forward(moved, u + t * du_move, engine=engine).y))

    want = (value(h) - value(-h)) / (2 * h)
    got = np.sum(du * du_move) + sum(np.sum(dparams[name] * moves[name]) for name in params)
    assert abs(got - want) <= 1e-6 * abs(want)


@pytest.mark.parametrize("rule", ["zoh", "foh"])
@pytest.mark.parametrize("engine", ENGINES)
def test_carried_state_and_its_cotangent(engine: str, rule: str) -> None:
    ssm, params, u = made(discretization=rule)
    whole, vjp = ssm.forward_and_vjp(params, u, engine=engine)
    first = ssm.forward(params, u[:, :12], engine=engine)
    second, vjp2 = ssm.forward_and_vjp(params, u[:, 12:], engine=engine, initial_state=first.state)
    np.testing.assert_allclose(np.concatenate([first.y, second.y], axis=1), whole.y, atol=1e-12)
    np.testing.assert_allclose(second.state, whole.state, atol=1e-12)
    dy = generator("ssm", "dy").standard_normal(whole.y.shape)
    _, vjp1 = ssm.forward_and_vjp(params, u[:, :12], engine=engine)
    _, du2, dstate = vjp2(dy[:, 12:])
    _, du1, _ = vjp1(dy[:, :12], dstate)
    np.testing.assert_allclose(np.concatenate([du1, du2], axis=1), vjp(dy)[1], atol=1e-11)


@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("rule", ["zoh", "bilinear", "dirac", "async", "foh"])
def test_a_stepper_gives_what_the_whole_sequence_gives(rule: str, irregular: bool) -> None:
    ssm, params, u = made(discretization=rule)
    stepper = ssm.stepper(params, step_rescale=0.5)
    intervals = generator("ssm", "intervals").uniform(0, 2, (N, L)) if irregular else None
    state, outputs = stepper.initial_state(N), []
    for k in range(L):
        state, y = stepper.step(state, u[:, k], intervals=None if intervals is None else intervals[:, k])
        outputs.append(y)
    whole = ssm.forward(params, u, engine="sequential", step_rescale=0.5, intervals=intervals)
    np.testing.assert_allclose(np.stack(outputs, axis=1), whole.y, atol=1e-12)
    np.testing.assert_allclose(state, whole.state, atol=1e-12)


def test_inputs_take_the_precision_of_the_parameters_and_lists_work() -> None:
    ssm = s5ref.SSM(d_model=2, ssm_size=4)
    params = ssm.init()
    out = ssm.forward(params, [[[1, 2], [3, 4]]])  # type: ignore[arg-type]
    assert out.y.dtype == np.float32
    assert out.state.dtype == np.complex64


@pytest.mark.parametrize("engine", ENGINES)
def test_the_scan_alone(engine: str) -> None:
    n = generator("scan", "alone").standard_normal
    Lambda_bar, Bu = 0.9 * np.exp(1j * n(3)), n((2, 9, 3)) + 1j * n((2, 9, 3))
    (x, state), vjp = s5ref.scan_and_vjp(Lambda_bar, Bu, engine=engine)
    want = s5ref.scan(Lambda_bar, Bu, engine="sequential")
    np.testing.assert_allclose(x, want[0], atol=1e-13)
    np.testing.assert_array_equal(state, x[:, -1])
    dLambda_bar, dBu, dx0 = vjp((np.ones_like(x), None))
    _, residuals = s5ref.sequential_scan(Lambda_bar, Bu)
    for got, reference in zip(
        (dLambda_bar, dBu, dx0),
        s5ref.sequential_scan_vjp(residuals, (np.ones_like(x), None)),
        strict=True,
    ):
        np.testing.assert_allclose(got, reference, atol=1e-12)


def test_an_engine_is_an_object_or_its_name() -> None:
    assert s5ref.as_engine(None) is s5ref.as_engine("numba") is s5ref.NUMBA
    assert s5ref.as_engine(s5ref.NUMPY) is s5ref.as_engine("numpy")
    with pytest.raises(s5ref.ConfigError, match="Did you mean numpy"):
        s5ref.as_engine("numpi")
    assert repr(s5ref.NUMPY) == "<engine numpy>"
