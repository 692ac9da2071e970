"""Golden learning-rate factors."""

from __future__ import annotations

import math

import pytest

from s5ref import S5Error
from s5ref.optim.schedule import factor


def test_upstream() -> None:
    spe, epochs, warmup = 10, 5, 2
    W, T = 20, 30

    def f(k: int) -> float:
        return factor("upstream", k, spe, epochs, warmup)

    assert f(0) == 1.0
    assert f(1) == 1 / 20
    assert f(W) == 1.0
    assert f(W + 1) == 0.5 * (1 + math.cos(math.pi * 20 / 30)) == pytest.approx(0.25)
    assert f(T) > 0
    assert f(T + 1) == 0.0
    assert f(49) == 0.0
    assert sum(f(k) == 0.0 for k in range(50)) == W - 1


def test_upstream_without_warmup() -> None:
    assert factor("upstream", 0, 10, 5, 0) == 1.0
    assert factor("upstream", 1, 10, 5, 0) == 1.0
    assert factor("upstream", 2, 10, 5, 0) == 0.5 * (1 + math.cos(math.pi / 50))
    assert factor("upstream", 49, 10, 5, 0) == 0.5 * (1 + math.cos(math.pi * 48 / 50))


def test_upstream_with_nothing_but_warmup() -> None:
    assert factor("upstream", 10, 10, 1, 1) == 1.0
    assert factor("upstream", 11, 10, 1, 1) == 0.0


def test_a_run_shorter_than_its_warmup_ends_on_the_way_up() -> None:
    assert factor("upstream", 9, 10, 1, 2) == 9 / 20
    assert factor("warmup_cosine", 9, 10, 1, 2) == 10 / 20


def test_warmup_cosine() -> None:
    def f(k: int) -> float:
        return factor("warmup_cosine", k, 10, 5, 2)

    assert f(0) == 1 / 20
    assert f(19) == f(20) == 1.0
    assert f(21) == 0.5 * (1 + math.cos(math.pi / 30))
    assert f(35) == pytest.approx(0.5)
    assert 0 < f(49) == 0.5 * (1 + math.cos(math.pi * 29 / 30))
    assert f(50) == 0.0
    assert factor("warmup_cosine", 9, 10, 1, 1) == 1.0
    assert factor("warmup_cosine", 10, 10, 1, 1) == 0.0


def test_constant() -> None:
    assert {factor("constant", k, 10, 5, 2) for k in (0, 1, 20, 21, 49)} == {1.0}


def test_refusals() -> None:
    with pytest.raises(S5Error):
        factor("upstream", -1, 10, 5, 2)
    with pytest.raises(S5Error):
        factor("upstream", 0, 0, 5, 2)
