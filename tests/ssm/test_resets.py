"""Resets: a row is its episodes one by one, whatever the engine, the direction and the way it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import s5ref
from s5ref import SEQUENTIAL, Engine
from s5ref.random import generator
from s5ref.ssm.resets import fold_resets, resets_after, scan_episodes, scan_episodes_vjp

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}
H, P = 3, 8


def complex_normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def episodes(row: Any) -> list[slice]:
    """The steps of each episode of a row of flags (L,)."""
    starts = sorted({0, *np.flatnonzero(row), len(row)})
    return [slice(int(a), int(b)) for a, b in pairwise(starts)]


def plain(Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool, resets: Any, s: Any) -> Any:
    """The definition: one step after the other, from s where there is a reset."""
    N, L, _P = Bu.shape
    x = np.empty_like(Bu)
    for n in range(N):
        state = np.zeros_like(Bu[0, 0]) if x0 is None else x0[n]
        for k in reversed(range(L)) if reverse else range(L):
            before = (0 if s is None else s) if resets[n, k] else state
            x[n, k] = state = (Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[n, k]) * before + Bu[n, k]
    return x


@st.composite
def problems(draw: st.DrawFn) -> Any:
    """Arguments of a scan with flags at random, at all steps, or at none."""
    N, L = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    rng = generator("resets", draw(st.integers(0, 10**6)))
    varying, start, learned = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    resets = rng.random((N, L)) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    Lambda_bar = np.exp(-rng.exponential(0.3, (N, L, 2) if varying else 2)) * np.exp(1j)
    x0, s = complex_normal(rng, N, 2) if start else None, complex_normal(rng, 2) if learned else None
    return Lambda_bar, complex_normal(rng, N, L, 2), x0, draw(st.booleans()), resets, s


@given(problem=problems(), cut=st.integers(0, 19))
@settings(max_examples=40)
@by_engine
def test_a_scan_is_that_of_its_episodes_however_it_is_cut(engine: Engine, problem: Any, cut: int) -> None:
    Lambda_bar, Bu, x0, reverse, resets, s = problem
    want = plain(*problem)
    (x, state), vjp = s5ref.scan_and_vjp(Lambda_bar, Bu, x0, reverse, engine, resets, s)
    np.testing.assert_allclose(x, want, **TIGHT)
    np.testing.assert_array_equal(state, x[:, 0 if reverse else -1])
    cut = min(cut, Bu.shape[1] - 1)
    parts = [slice(0, cut), slice(cut, None)] if cut else [slice(None)]
    carried: Any = x0
    for part in reversed(parts) if reverse else parts:
        steps = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part]
        piece, carried = s5ref.scan(steps, Bu[:, part], carried, reverse, engine, resets[:, part], s)
        np.testing.assert_allclose(piece, want[:, part], **TIGHT)
    reference = s5ref.scan_and_vjp(Lambda_bar, Bu, x0, reverse, SEQUENTIAL, resets, s)[1]
    for got, expected in zip(vjp((Bu, state)), reference((Bu, state)), strict=True):
        np.testing.assert_allclose(got, expected, **TIGHT)


@given(problem=problems())
@settings(max_examples=20)
def test_the_vjp_of_a_scan_with_resets_is_its_derivative(problem: Any) -> None:
    Lambda_bar, Bu, x0, reverse, resets, s = problem
    rng = generator("resets", "directions", Bu.shape[1])
    x0, s = (np.zeros(shape, complex) if z is None else z for z, shape in ((x0, Bu[:, 0].shape), (s, 2)))
    at = (Lambda_bar, Bu, x0, s)
    moves = [complex_normal(rng, *z.shape) for z in at]
    w = complex_normal(rng, *Bu.shape)

    def value(t: float) -> float:
        a, b, start, again = (z + t * move for z, move in zip(at, moves, strict=True))
        return float(np.sum((np.conj(w) * plain(a, b, start, reverse, resets, again)).real))

    (_, vjp), h = s5ref.scan_and_vjp(Lambda_bar, Bu, x0, reverse, "sequential", resets, s), 1e-5
    want = (value(h) - value(-h)) / (2 * h)
    got = sum(float(np.sum((np.conj(d) * m).real)) for d, m in zip(vjp((w, None)), moves, strict=True))
    assert abs(got - want) <= 1e-6 * (1 + abs(want))


def test_folded_elements_compose_associatively() -> None:
    rng = generator("resets", "associative")
    resets = np.array([[False, True, False], [True, True, True], [False, False, True]])
    s = complex_normal(rng, 2)
    (a, b), _ = fold_resets(complex_normal(rng, 2), complex_normal(rng, 3, 3, 2), resets, s)

    def compose(i: Any, j: Any) -> Any:  # i before j
        return j[0] * i[0], j[0] * i[1] + j[1]

    one, two, three = ((a[:, k], b[:, k]) for k in range(3))
    for left, right in zip(compose(compose(one, two), three), compose(one, compose(two, three)), strict=True):
        np.testing.assert_allclose(left, right, **TIGHT)


@by_engine
@pytest.mark.parametrize("reverse", [False, True])
def test_what_overflows_in_one_episode_does_not_reach_the_next(engine: Engine, reverse: bool) -> None:
    Bu = np.full((2, 140, 1), 1 + 1j, np.complex64)
    hot = 130 if reverse else 10
    Bu[0, hot] = 3e38 * (1 + 1j)
    resets = np.zeros((2, 140), bool)
    resets[0, 70] = True
    Lambda_bar = np.array([1.5], np.complex64) if reverse else np.full((2, 140, 1), 1.5, np.complex64)
    with np.errstate(over="ignore", invalid="ignore"):
        (x, last), residuals = scan_episodes(engine.scan, Lambda_bar, Bu, None, reverse, resets)
        dLambda_bar, dBu, *_ = scan_episodes_vjp(engine.scan, residuals, (np.ones_like(x), None))
    alone = slice(0, 71) if reverse else slice(70, 140)
    want, end = s5ref.scan(np.array([1.5], np.complex64), Bu[:1, alone], None, reverse, "sequential")
    np.testing.assert_allclose(x[:1, alone], want, rtol=1e-5)
    np.testing.assert_allclose(last[:1], end, rtol=1e-5)
    assert not np.isfinite(x[0, hot + (-2 if reverse else 2)]).any()
    assert np.isfinite(dBu).all()
    if not reverse:
        assert np.isfinite(dLambda_bar[0, alone]).all()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"learn_initial_state": True},
    {"bidirectional": True},
    {"bidirectional": True, "learn_initial_state": True, "discretization": "bilinear", "conj_sym": False},
]


def made(options: dict[str, Any], L: int = 9) -> tuple[s5ref.SSM, dict[str, Any], Any, Any]:
    """An SSM with parameters, inputs and intervals."""
    ssm, rng = s5ref.SSM(d_model=H, ssm_size=P, **options), generator("resets", "ssm", str(options))
    params = ssm.init(seed=1, dtype="float64")
    params |= {name: rng.standard_normal(x.shape) for name, x in params.items() if name.startswith("x0")}
    return ssm, params, rng.standard_normal((2, L, H)), rng.uniform(0.5, 2, (2, L))


@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
@by_engine
def test_an_ssm_with_resets_is_that_of_its_episodes(
    engine: Engine, options: dict[str, Any], irregular: bool
) -> None:
    ssm, params, u, intervals = made(options)
    resets = np.array([[0, 1, 0, 0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0]], bool)
    given = {"intervals": intervals} if irregular else {}
    out, vjp = ssm.forward_and_vjp(params, u, engine=engine, resets=resets, **given)
    dy = np.cos(np.arange(u.size)).reshape(u.shape)
    dparams, du, _ = vjp(dy)
    total = dict.fromkeys(params, 0.0)
    for n, row in enumerate(resets):
        for episode in episodes(row):
            one = {name: x[n : n + 1, episode] for name, x in given.items()}
            alone, vjp = ssm.forward_and_vjp(params, u[n : n + 1, episode], engine="sequential", **one)
            np.testing.assert_allclose(out.y[n : n + 1, episode], alone.y, **TIGHT)
            of_episode, du_alone, _ = vjp(dy[n : n + 1, episode])
            np.testing.assert_allclose(du[n : n + 1, episode], du_alone, **TIGHT)
            total = {name: total[name] + d for name, d in of_episode.items()}
    for name, d in total.items():
        np.testing.assert_allclose(dparams[name], d, err_msg=name, **TIGHT)
    assert np.abs(out.y - ssm.forward(params, u, **given).y).max() > 1e-3  # the flags do something


def test_the_cotangent_of_a_learned_state_is_a_derivative_and_a_given_state_wins() -> None:
    ssm, params, u, _ = made({"learn_initial_state": True})
    resets = np.zeros(u.shape[:2], bool)
    resets[0, 4] = True
    start = complex_normal(generator("resets", "start"), 2, P // 2)
    for initial, flags in ((None, None), (None, resets), (start, resets), (start, None)):
        out, vjp = ssm.forward_and_vjp(params, u, initial_state=initial, resets=flags)
        move, h = np.ones((P // 2, 2)), 1e-6

        def value(t: float, initial: Any = initial, flags: Any = flags) -> Any:
            moved = params | {"x0": params["x0"] + t * np.ones((P // 2, 2))}
            return np.sum(ssm.forward(moved, u, initial_state=initial, resets=flags).y)

        want = (value(h) - value(-h)) / (2 * h)
        got = float(np.sum(vjp(np.ones_like(out.y))[0]["x0"] * move))
        assert abs(got - want) <= 1e-6 * (1 + abs(want))
    carried = ssm.forward(params | {"x0": 0 * params["x0"]}, u, initial_state=start)
    np.testing.assert_array_equal(ssm.forward(params, u, initial_state=start).y, carried.y)


def test_flags_of_one_axis_are_those_of_the_first_step_and_win_over_a_given_state() -> None:
    ssm, params, u, _ = made({})
    start = complex_normal(generator("resets", "start"), 2, P // 2)
    got = ssm.forward(params, u, initial_state=start, resets=[True, False])  # type: ignore[arg-type]
    fresh, carried = ssm.forward(params, u), ssm.forward(params, u, initial_state=start)
    np.testing.assert_allclose(got.y[0], fresh.y[0], **TIGHT)
    np.testing.assert_allclose(got.y[1], carried.y[1], **TIGHT)


def test_a_learned_state_starts_the_second_direction_at_the_last_valid_step() -> None:
    layer = s5ref.SequenceLayer(
        d_model=H, ssm_size=P, norm="layer", bidirectional=True, learn_initial_state=True
    )
    params, statistics = layer.init(dtype="float64")
    rng = generator("resets", "valid")
    params |= {f"seq.{name}": rng.standard_normal((P // 2, 2)) for name in ("x0_1", "x0_2")}
    x = rng.standard_normal((1, 9, H))
    padded = layer.forward(params, statistics, x, lengths=[6])  # type: ignore[arg-type]
    alone = layer.forward(params, statistics, x[:, :6])
    np.testing.assert_allclose(padded.y[:, :6], alone.y, **TIGHT)


def test_flags_of_the_second_direction() -> None:
    resets = np.array([[True, False, True, True, False]])
    np.testing.assert_array_equal(resets_after(resets), [[False, True, True, False, False]])
    valid = np.array([[True, True, True, False, False]])[:, :, None]
    np.testing.assert_array_equal(resets_after(None, valid), [[False, False, True, True, False]])
    np.testing.assert_array_equal(resets_after(resets[:, :1]), [[False]])
    assert resets_after(None) is None


def test_flags_that_do_not_fit_are_refused_and_the_remedy_works() -> None:
    ssm, params, u, _ = made({})
    numbers = np.ones(u.shape[:2], int)
    with pytest.raises(s5ref.ShapeError, match="resets must be boolean, True where an episode begins"):
        ssm.forward(params, u, resets=numbers)
    ssm.forward(params, u, resets=numbers.astype(bool))
    with pytest.raises(s5ref.ShapeError, match=r"resets must be \(N, L\) with N=2, L=9; got \(2, 8\)"):
        ssm.forward(params, u, resets=np.zeros((2, 8), bool))
    Bu = np.ones((1, 4, 2), complex)
    with pytest.raises(s5ref.ShapeError, match="reset_state must have the dtype of Bu, complex128"):
        s5ref.scan(Bu[0, 0], Bu, resets=np.zeros((1, 4), bool), reset_state=np.ones(2))
