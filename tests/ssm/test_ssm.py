"""What an SSM makes of intervals under each rule: time reversed, events at the same time, padding, the inputs
between samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref.engine import Call
from s5ref.random import generator
from s5ref.ssm.ssm import DISCRETIZATIONS, ssm
from s5ref.verification.proofs.independent.continuous import integrate

N, L, H, P = 2, 9, 3, 8
by_rule = pytest.mark.parametrize("rule", DISCRETIZATIONS)


def made(rule: str, **options: Any) -> tuple[s5ref.SSM, Any, Any, Any]:
    """(SSM, params, u, intervals), two events at the same time among them."""
    of = s5ref.SSM(d_model=H, ssm_size=P, dt_min=0.1, dt_max=0.9, discretization=rule, **options)
    n = generator("hold", rule)
    intervals = n.uniform(0.3, 2.0, (N, L))
    intervals[:, 4] = 0
    return of, of.init(seed=3, dtype="float64"), n.standard_normal((N, L, H)), intervals


@by_rule
@pytest.mark.parametrize("irregular", [False, True])
def test_the_second_direction_is_the_first_one_against_time(rule: str, irregular: bool) -> None:
    """The interval before a step of the reversed sequence is the one after it; u_{k+1} comes before u_k."""
    of, params, u, intervals = made(rule, bidirectional=True)
    backward = params | {"C1": np.zeros_like(params["C1"])}
    got = of.forward(backward, u, engine="sequential", intervals=intervals if irregular else None).y
    reversed_intervals = np.concatenate([np.ones((N, 1)), intervals[:, :0:-1]], axis=1)
    one = s5ref.SSM(d_model=H, ssm_size=P, discretization=rule)
    forward = {name: leaf for name, leaf in params.items() if name not in ("C1", "C2")} | {"C": params["C2"]}
    want = one.forward(
        forward, u[:, ::-1], engine="sequential", intervals=reversed_intervals if irregular else None
    ).y[:, ::-1]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * np.abs(want).max())


@by_rule
def test_events_at_the_same_time(rule: str) -> None:
    """An interval of 0 leaves the state as it is; impulses and events add up, whatever their order; a
    sample that is held has no effect on the state before the time goes on.
    """
    of, params, u, intervals = made(rule)
    states = [of.forward(params, u[:, : k + 1], intervals=intervals[:, : k + 1]).state for k in (3, 4)]
    change = (states[1] - states[0])[:, : P // 2]
    B = params["B"][..., 0] + 1j * params["B"][..., 1]
    Lambda = params["Lambda_re"] + 1j * params["Lambda_im"]
    Delta = np.exp(params["log_step"])
    gain = {"dirac": np.ones_like(Lambda), "async": (np.exp(Lambda * Delta) - 1) / Lambda}.get(
        rule, 0 * Lambda
    )
    np.testing.assert_allclose(change, gain * (u[:, 4] @ B.T), atol=1e-13)
    if rule in ("dirac", "async"):
        swapped = u.copy()
        swapped[:, [3, 4]] = u[:, [4, 3]]
        one, other = (of.forward(params, v, intervals=intervals).state for v in (u, swapped))
        np.testing.assert_allclose(one, other, atol=1e-13)


def test_async_is_zero_order_hold_under_regular_sampling() -> None:
    of, params, u, _ = made("async")
    held = s5ref.SSM(d_model=H, ssm_size=P)
    for intervals in (None, np.ones((N, L))):
        got, want = (s.forward(params, u, engine="sequential", intervals=intervals) for s in (of, held))
        np.testing.assert_allclose(got.y, want.y, rtol=0, atol=1e-14 * np.abs(want.y).max())


@by_rule
def test_padding_enters_neither_direction(rule: str) -> None:
    of, params, u, intervals = made(rule, bidirectional=True)
    lengths = np.array([5, 8])
    valid = (np.arange(L) < lengths[:, None])[:, :, None]
    outputs = []
    for seed in (0, 1):
        n = generator("padding", seed)
        padded = np.where(valid, u, n.standard_normal(u.shape))
        spacing = np.where(valid[..., 0], intervals, n.uniform(0, 3, intervals.shape))
        call = Call(s5ref.SEQUENTIAL, intervals=spacing, valid=valid)
        (y, _), _ = ssm(params, padded, of.ssm_options(), call)
        outputs.append(y[valid[..., 0]])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    for i, length in enumerate(lengths):
        alone = of.forward(
            params, u[i : i + 1, :length], engine="sequential", intervals=intervals[i : i + 1, :length]
        )
        start = int(lengths[:i].sum())
        np.testing.assert_allclose(outputs[0][start : start + length], alone.y[0], atol=1e-12)


def test_first_order_hold_follows_inputs_that_run_linearly_between_irregular_samples() -> None:
    """Against an integrator of the real system, one input line after the other; u is 0 one unit before
    the first.
    """
    of, params, u, intervals = made("foh")
    intervals[:, 4] = 0.01
    intervals[:, 0] = 1.0
    system = of.to_state_space(params)
    got = of.forward(params, u, engine="sequential", intervals=intervals).y[0]
    x, before, now = np.zeros(len(system.A)), np.zeros(H), 0.0
    for k in range(L):
        t = np.array([now, now + intervals[0, k]])

        def line(at: float, t: Any = t, a: Any = before, b: Any = u[0, k]) -> Any:
            return a + (b - a) * (at - t[0]) / (t[1] - t[0])

        x = integrate(system.A, system.B, line, t, x).states[-1]
        before, now = u[0, k], t[1]
        np.testing.assert_allclose(got[k], system.C @ x + system.D @ u[0, k], rtol=0, atol=1e-10)


@by_rule
def test_a_state_of_another_width_is_refused(rule: str) -> None:
    of, params, u, _ = made(rule)
    with pytest.raises(s5ref.ShapeError, match="x0"):
        of.forward(params, u, initial_state=np.zeros((N, of.state_size + 1), complex))
