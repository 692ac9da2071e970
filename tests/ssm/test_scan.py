"""The scan: one recurrence, whatever the block, the split, the direction and the engine."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import example, given, settings
from hypothesis import strategies as st

import s5ref.ssm.scan as scan_module
from s5ref import SEQUENTIAL, Engine
from s5ref.random import generator
from s5ref.verification.rounding import bounds
from s5ref.verification.rounding.budget import cast, ratio
from s5ref.verification.selfcheck.fields import outcome

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
Problem = tuple[tuple[Any, Any, Any, bool], tuple[Any, Any]]


@st.composite
def scans(draw: st.DrawFn) -> Problem:
    """Arguments and cotangents of a scan: any length, direction, kind of multiplier, with and without
    states."""
    N, L, P = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 4))
    varying, start, reverse = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    which = draw(st.sampled_from(["both", "dx", "dx_last"]))
    rng = generator("scan", draw(st.integers(0, 10**6)))

    def z(*shape: int) -> Any:
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    Lambda_bar = np.exp(-rng.exponential(0.3, (N, L, P) if varying else (P,))) * np.exp(1j * z(P).real)
    dx, dlast = (z(N, L, P) if which != "dx_last" else None), (z(N, P) if which != "dx" else None)
    return (Lambda_bar, z(N, L, P), z(N, P) if start else None, reverse), (dx, dlast)


def close(got: dict[str, Any], want: dict[str, Any], limits: dict[str, Any], eps: float) -> None:
    """Both carry the errors that their bound allows."""
    for path in ("y.0", "y.1", "d.0", "d.1", "d.2"):
        assert ratio(got[path], want[path], 2 * limits[path], eps) <= 1, path


@given(problem=scans(), block=st.integers(1, 12), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=60)
@by_engine
def test_equals_the_plain_loop_for_any_length_and_block(
    engine: Engine, problem: Problem, block: int, dtype: str
) -> None:
    args, dy = problem
    limits = bounds.scan(*args, dy)
    args, dy = cast(args, dtype), cast(dy, dtype)
    with patch.object(scan_module, "BLOCK", block):
        got = outcome(engine.scan, args, dy)
    close(got, outcome(SEQUENTIAL.scan, args, dy), limits, float(np.finfo(dtype).eps))


@given(problem=scans(), split=st.integers(0, 39))
@settings(max_examples=40)
@by_engine
def test_two_pieces_with_carried_state_equal_the_whole(engine: Engine, problem: Problem, split: int) -> None:
    (Lambda_bar, Bu, x0, reverse), (dx, dlast) = problem
    L = Bu.shape[1]
    if L == 1:
        return
    at = 1 + split % (L - 1)
    dx = np.zeros_like(Bu) if dx is None else dx
    whole = outcome(engine.scan, (Lambda_bar, Bu, x0, reverse), (dx, dlast))
    parts = (slice(at, L), slice(0, at)) if reverse else (slice(0, at), slice(at, L))
    a = [Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part] for part in parts]
    (x1, carried), first = engine.scan.value(a[0], Bu[:, parts[0]], x0, reverse)
    (x2, last), second = engine.scan.value(a[1], Bu[:, parts[1]], carried, reverse)
    da2, db2, dcarried = engine.scan.vjp(second, (dx[:, parts[1]], dlast))
    da1, db1, dx0 = engine.scan.vjp(first, (dx[:, parts[0]], dcarried))

    def joined(one: Any, two: Any) -> Any:
        return np.concatenate([two, one] if reverse else [one, two], axis=1)

    da = da1 + da2 if Lambda_bar.ndim == 1 else joined(da1, da2)
    got = {"y.0": joined(x1, x2), "y.1": last, "d.0": da, "d.1": joined(db1, db2), "d.2": dx0}
    close(got, whole, bounds.scan(Lambda_bar, Bu, x0, reverse, (dx, dlast)), float(np.finfo(np.float64).eps))


@given(problem=scans())
@settings(max_examples=40)
@by_engine
def test_reverse_is_flip_forward_flip(engine: Engine, problem: Problem) -> None:
    (Lambda_bar, Bu, x0, reverse), (dx, dlast) = problem

    def flip(z: Any) -> Any:
        return z[:, ::-1] if z is not None and z.ndim == 3 else z

    got = outcome(engine.scan, (flip(Lambda_bar), flip(Bu), x0, not reverse), (flip(dx), dlast))
    want = outcome(engine.scan, (Lambda_bar, Bu, x0, reverse), (dx, dlast))
    limits = bounds.scan(Lambda_bar, Bu, x0, reverse, (dx, dlast))
    close(
        {path: flip(leaf) for path, leaf in got.items() if path[0] in "yd"},
        want,
        limits,
        float(np.finfo(np.float64).eps),
    )


@given(problem=scans(), other=st.integers(0, 10**6))
@example(
    problem=(
        (np.full(1, 0.5 + 0j), np.ones((1, 1, 1), complex), None, False),
        (None, np.ones((1, 1), complex)),
    ),
    other=0,
)
@settings(max_examples=40)
@by_engine
def test_linear_in_source_and_initial_state_together(engine: Engine, problem: Problem, other: int) -> None:
    (Lambda_bar, Bu, x0, reverse), _ = problem
    rng = generator("scan, linear", other)
    more = rng.standard_normal(Bu.shape) + 0j
    start = np.zeros_like(Bu[:, 0]) if x0 is None else x0
    begin = rng.standard_normal(start.shape) + 0j
    (x, last), _ = engine.scan.value(Lambda_bar, Bu, start, reverse)
    (y, end), _ = engine.scan.value(Lambda_bar, more, begin, reverse)
    (both, final), _ = engine.scan.value(Lambda_bar, Bu + more, start + begin, reverse)
    limits = bounds.scan(
        Lambda_bar,
        np.abs(Bu) + np.abs(more),
        np.abs(start) + np.abs(begin),
        reverse,
        (None, np.zeros_like(start)),
    )
    eps = float(np.finfo(np.float64).eps)
    # the three runs err by at most the bound of the sum of absolute values each, one addition more in front
    # of them
    assert ratio(x + y, both, 4 * limits["y.0"], eps) <= 1
    assert ratio(last + end, final, 4 * limits["y.1"], eps) <= 1


@by_engine
def test_nothing_is_divided_by_a_vanishing_product(engine: Engine) -> None:
    """Strong decay over a long sequence: the product of the multipliers underflows, the states do not."""
    Lambda_bar, Bu = np.full(2, 1e-3 + 0j), np.ones((1, 3000, 2), complex)
    (_, last), residuals = engine.scan.value(Lambda_bar, Bu)
    expected = 1 / (1 - 1e-3)
    assert (
        ratio(
            last,
            np.full_like(last, expected),
            bounds.scan(Lambda_bar, Bu, None, False, (Bu, None))["y.1"],
            2.3e-16,
        )
        <= 1
    )
    assert all(np.isfinite(d).all() for d in engine.scan.vjp(residuals, (Bu, last)))
