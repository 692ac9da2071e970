"""Random S5 features: the compiled ones against the reference, what must hold of them, and every engine."""

from __future__ import annotations

import numpy as np
import pytest
from devices import kernels_on, on_devices
from hypothesis import given
from hypothesis import strategies as st

import s5ref
from s5ref.arrays import Array
from s5ref.cpu.parallel import set_threads, threads
from s5ref.features.channels import Seen, channels, difference, on_grid, standard, unit_of_time, views
from s5ref.features.filters import Filters, draw
from s5ref.features.responses import QUANTILES, features, longest_run, reduce_response, response, thresholds
from s5ref.random import generator

LENGTHS = (2, 33, 256, 257, 600, 40)


def a_case(lengths: tuple[int, ...] = LENGTHS, F: int = 71, C: int = 3) -> tuple[Seen, Filters]:
    """Random walks, and filters for them."""
    rng = generator("features", *lengths, F, C)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.standard_normal((offsets[-1], C)).cumsum(axis=0)
    seen = channels(values, offsets, standard(values, offsets))
    filters = draw(0, F, 4 * C, max(lengths))
    return seen, filters._replace(thresholds=thresholds(0, seen, filters, s5ref.NUMPY))


def parts(answers: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """max, min, mean (n, F), and shares, runs and excesses (n, F, Q)."""
    Q = QUANTILES
    some = (answers[..., 3 + k * Q : 3 + (k + 1) * Q] for k in range(3))
    return (*(answers[..., k] for k in range(3)), *some)  # type: ignore[return-value]


def assert_close(got: Array, want: Array) -> None:
    """Equal to rounding in float32, but for at most one value in a thousand that rounding puts on the other
    side of a threshold.
    """
    wrong = np.abs(got - want) > 1e-4 * (1 + np.abs(want))
    assert wrong.mean() < 1e-3
    np.testing.assert_allclose(got[..., :3], want[..., :3], rtol=1e-4, atol=2e-5)


def test_the_compiled_features_are_those_of_the_plain_loop() -> None:
    seen, filters = a_case()
    exact = seen._replace(z=seen.z.astype(np.float64))
    assert_close(s5ref.NUMBA.features(seen, filters, s5ref.NUMBA), features(exact, filters, s5ref.SEQUENTIAL))


@on_devices
def test_every_engine_computes_them(device: str) -> None:
    seen, filters = a_case((2, 40, 70), F=9)
    engine = kernels_on(device)
    assert_close(engine.features(seen, filters, engine), features(seen, filters, s5ref.SEQUENTIAL))


def test_neither_threads_nor_the_other_series_change_a_bit() -> None:
    seen, filters = a_case()
    engine, before = s5ref.NUMBA, threads()
    try:
        whole = []
        for n in (1, 2, 3):
            set_threads(n)
            whole.append(engine.features(seen, filters, engine))
    finally:
        set_threads(before)
    assert all(np.array_equal(whole[0], other) for other in whole)
    start, end = seen.offsets[3:5]
    alone = Seen(seen.z[start:end], np.array([0, end - start]))
    np.testing.assert_array_equal(engine.features(alone, filters, engine)[0], whole[0][3])


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_what_must_hold_of_every_feature(seed: int, L: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((L, 4)) * 10.0 ** rng.integers(-3, 4, 4)
    limits = np.sort(rng.choice(y.ravel(), (QUANTILES, 4)), axis=0)
    largest, smallest, mean, share, run, excess = parts(reduce_response(y, limits))
    slack = 1e-12 * np.abs(y).max()
    assert (smallest <= mean + slack).all()
    assert (mean <= largest + slack).all()
    assert ((share >= 0) & (share <= 1 + 1e-12) & (run >= 0) & (run <= share + 1e-12)).all()
    assert (np.diff(share, axis=-1) <= 1e-12).all()  # the thresholds rise
    assert ((excess >= 0) & (excess <= largest[:, None] - limits.T + slack) | (share == 0)).all()


@given(st.integers(0, 2**32), st.integers(1, 100))
def test_the_longest_run_is_that_of_the_plain_loop(seed: int, L: int) -> None:
    rng = np.random.default_rng(seed)
    above = rng.random((QUANTILES, L, 3)) < rng.choice([0.2, 0.8, 1.0])
    want = np.zeros((QUANTILES, 3), int)
    for q, f in np.ndindex(want.shape):
        run = 0
        for t in range(L):
            run = run + 1 if above[q, t, f] else 0
            want[q, f] = max(want[q, f], run)
    np.testing.assert_array_equal(longest_run(above), want)


def test_a_backward_filter_is_a_forward_one_on_the_series_turned_round() -> None:
    seen, filters = a_case((50,), F=8)
    z = seen.series(0)
    forward, backward = filters._replace(forward=8), filters._replace(forward=0)
    np.testing.assert_array_equal(response(z, backward, s5ref.NUMPY), response(z[::-1], forward, s5ref.NUMPY))


def test_channels_are_standardised_and_differences_are_rates() -> None:
    seen, _ = a_case((40, 90), C=2)
    for i in range(2):
        z = seen.series(i)
        np.testing.assert_allclose(z[:, :2].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(z[:, :4].std(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(seen.z[:, 4:6].std(axis=0), 1, rtol=1e-4)
    np.testing.assert_array_equal(
        difference(np.array([[1.0], [4.0], [9.0]]), np.array([0, 1, 3]))[:, 0], [0, 0, 5]
    )


def test_second_differences_are_curvatures() -> None:
    """Of parabolas they are constant, but for the first two steps, of a series of one or two steps all."""
    offsets = np.array([0, 1, 3, 10, 15])
    step = np.arange(15) - np.repeat(offsets[:-1], np.diff(offsets))
    z = np.stack([step**2 / 2 + 5, -(step**2)], axis=1)
    np.testing.assert_array_equal(difference(z, offsets, 2), np.where(step < 2, 0, [[1], [-2]]).T)
    by = standard(z, offsets, 2)
    seen = channels(z, offsets, by)
    assert views(by) == [
        *("own", "own difference", "own second difference"),
        *("training", "training difference", "training second difference"),
    ]
    assert seen.z.shape == (15, 12)
    np.testing.assert_allclose(
        seen.z[:, 10:], difference(z, offsets, 2) / difference(z, offsets, 2).std(axis=0), rtol=1e-5
    )
    first = channels(z, offsets, standard(z, offsets))
    np.testing.assert_array_equal(first.z, seen.z[:, [0, 1, 2, 3, 6, 7, 8, 9]])
    np.testing.assert_array_equal(channels(z, offsets, by, online=True).z, seen.z[:, 6:])


def test_the_response_is_that_of_the_line_between_the_samples() -> None:
    """By ten times as many steps of a tenth: a first-order hold of a line is exact, whatever it is cut
    into.
    """
    seen, filters = a_case((60,), F=8)
    z = seen.series(0).astype(float)
    forward = filters._replace(forward=8)
    before = np.concatenate([np.zeros_like(z[:1]), z[:-1]])
    fine = np.stack([before + (z - before) * k / 10 for k in range(1, 11)], axis=1).reshape(-1, z.shape[1])
    slow = forward._replace(Lambda=filters.Lambda / 10)
    got = response(fine, slow, s5ref.NUMPY)[9::10] / 10
    np.testing.assert_allclose(got, response(z, forward, s5ref.NUMPY), rtol=1e-9, atol=1e-9)


def test_irregular_samples_are_read_on_a_grid() -> None:
    times = np.array([0.0, 1.0, 2.5, 10.0, 10.5, 11.0, 14.0])
    offsets = np.array([0, 3, 7])
    unit = unit_of_time(times, offsets)
    assert 0.5 <= unit <= 1
    values, ends = on_grid(np.stack([times, -times], axis=1), offsets, times, 0.5)
    assert ends.tolist() == [0, 6, 15]
    np.testing.assert_allclose(values[:6, 0], np.arange(6) * 0.5)
    np.testing.assert_allclose(values[6:, 1], -10 - np.arange(9) * 0.5)
    pause = np.array([0.0, 1.0, 2.0, 1000.0])
    assert unit_of_time(pause, np.array([0, 4])) == pytest.approx(1000 / 12)
    with pytest.raises(s5ref.DataError, match="pauses"):
        on_grid(np.zeros((2, 1)), np.array([0, 2]), np.array([0.0, 1e9]), 1.0)
