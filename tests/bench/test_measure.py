"""Rows, the refusal of a peer that computes something else, exponents, and what a bench consists of."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from fake_peers import peer

from s5ref import S5Error
from s5ref.bench import growth, measure
from s5ref.bench.agree import BOUND, disagreement
from s5ref.bench.case import Case, recipe_case
from s5ref.bench.growth import exponent
from s5ref.bench.measure import Row, measured
from s5ref.bench.peers import PEERS, Peer, chosen
from s5ref.bench.race import Repetitions, Times, race
from s5ref.bench.run import select

CASE = replace(recipe_case("digits"), batch=1, length=4)
FEW = Repetitions(3, 3, 0.0)


@pytest.fixture
def fake_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "OURS", peer("fine"))
    monkeypatch.setenv("FAKE", "fine")
    monkeypatch.setenv("PYTHONPATH", peer("fine").environment["PYTHONPATH"])


@pytest.mark.usefixtures("fake_ours")
def test_a_peer_that_agrees_is_timed() -> None:
    row = measured(CASE, "train_step", peer("fine"), FEW)
    assert (row.peer, row.error, row.repeats) == ("fake", None, 3)
    assert row.ours_s is not None
    assert row.peer_s is not None
    assert row.ratio == row.peer_s / row.ours_s
    assert row.gflops == CASE.flops("train_step") / row.ours_s / 1e9
    assert row.ours_bytes is not None
    assert row.beside(200.0).percent_of_peak == pytest.approx(row.gflops / 2)


@pytest.mark.usefixtures("fake_ours")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("wrong", "fake computes something else: grad.B differs by 0.01 of its norm (bound 0.002)"),
        ("nan", "fake computes something else: grad.B differs by nan"),
        ("other", "fake computes something else: other values: grad.more"),
        ("unbuilt", "fake no values: ValueError: no such thing"),
    ],
)
def test_a_peer_that_computes_something_else_is_not_timed(how: str, words: str) -> None:
    row = measured(CASE, "train_step", peer(how), FEW)
    assert words in str(row.error)
    assert (row.peer, row.peer_s, row.ratio, row.peer_bytes) == ("fake", None, None, None)
    assert row.ours_s is not None


def test_disagreement() -> None:
    want = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    near = {"a": want["a"] * (1 + BOUND / 2), "b": np.zeros(2)}
    assert disagreement(want, want) == disagreement(near, want) == ""
    assert disagreement(near | {"a": want["a"] * (1 + 2 * BOUND)}, want).startswith("a differs by 0.004")
    assert disagreement(near | {"b": np.full(2, 1e-2)}, want).startswith("b differs")
    assert disagreement({"a": want["a"]}, want) == "other values: b"
    assert disagreement(near | {"b": np.zeros(3)}, want) == "b is (3,), not (2,)"


def test_exponents() -> None:
    xs = [2.0**k for k in range(8, 14)]
    assert exponent([(x, 3e-5 * x**1.25) for x in xs]) == pytest.approx(1.25)
    assert exponent([(x, 1e-3) for x in xs]) == pytest.approx(0)
    assert exponent([(1, 1), (2, 2), (4, 8)]) == pytest.approx(1.5)  # least squares, not the end points
    assert exponent([(1, 1), (2, 1), (4, 8)]) == pytest.approx(1.5)
    assert exponent([(8.0, 1.0)]) is None
    assert exponent([]) is None


def test_growth_counts_overhead_only_in_the_exponent_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Case] = []

    def raced(peers: Sequence[Peer], case: Case, what: str, repetitions: Repetitions) -> list[Times]:
        seen.append(case)
        if case.length == 2**11:
            return [Times(error="the process was ended by SIGKILL (out of memory?)")]
        return [Times(0.1, [max(1e-3, case.length * 1e-6)], 1000)]

    monkeypatch.setattr(growth, "race", raced)
    monkeypatch.setattr(growth, "prepare", lambda case, what: None)
    monkeypatch.setitem(growth.VALUES, "L", [2**k for k in range(8, 13)])
    found = growth.grow("L", False, lambda words: None)
    assert [case.length for case in seen] == [256, 512, 1024, 2048, 4096]
    assert {(case.batch, case.model.d_model, case.model.ssm_size, case.model.n_layers) for case in seen} == {
        (4, 96, 128, 4)
    }
    assert found.points[3].seconds is None
    assert "SIGKILL" in str(found.points[3].error)
    assert found.exponent == pytest.approx(1.0)
    assert found.exponent_all is not None
    assert found.exponent_all < 0.8


def test_one_point_of_growth_is_measured() -> None:
    [times] = race([measure.OURS], growth.sized({"B": 1, "L": 8, "H": 4, "P": 4}), "gradient", FEW)
    assert (times.error, len(times.seconds)) == ("", 3)


def test_peers_that_cannot_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(S5Error, match="Unknown peer 'jaxx'") as unknown:
        chosen(["jaxx"])
    assert "Did you mean jax?" in unknown.value.remedy
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, package in (("jax", "jax"), ("s5-pytorch", "torch")):
        with pytest.raises(S5Error, match=f"{name} needs the package {package}") as missing:
            chosen([name])
        assert name in missing.value.remedy.removeprefix("pip install ").split(", or leave")[0].split()


@pytest.mark.parametrize(
    ("case", "peer", "where"),
    [("growth", "jax", "the recipes"), ("smnist layer", "jax", "the recipes"),
     ("listops", "s5-pytorch", "'smnist layer'")],
)  # fmt: skip
def test_a_peer_with_nothing_to_do_is_refused(case: str, peer: str, where: str) -> None:
    with pytest.raises(S5Error, match=f"takes part in .*{where}"):
        select(case, [PEERS[peer]], True)


def test_what_a_bench_consists_of() -> None:
    def names(case: str | None, *others: Peer) -> list[str]:
        return [case.name for case in select(case, others, False)]

    assert names(None) == names(None, PEERS["jax"]) == ["smnist", "listops", "pathx"]
    assert names(None, PEERS["s5-pytorch"]) == ["smnist", "listops", "pathx", "smnist layer"]
    assert names("smnist", PEERS["s5-pytorch"], PEERS["jax"]) == ["smnist", "smnist layer"]
    assert names("growth") == []
    assert names("smnist layer") == ["smnist layer"]
    with pytest.raises(S5Error, match="Unknown case 'growht'") as caught:
        names("growht")
    assert "Did you mean growth?" in caught.value.remedy


def test_startup_of_a_fresh_cache_lies_beside_the_peers_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []

    def raced(peers: Sequence[Peer], *rest: object) -> list[Times]:
        folders.append(peers[0].environment["S5REF_CACHE"])
        return [Times(4.0 / len(folders), [1.0], 7)]

    monkeypatch.setattr(measure, "race", raced)
    step = Row("smnist", "train_step", 1, 4, peer="fake", peer_s=1.5, peer_compile_s=4.5)
    cold, cached = measure.startup(CASE, step)
    assert folders[0] == folders[1]
    assert (cold.what, cold.ours_s, cold.peer_s, cold.ratio) == ("startup_cold", 4.0, 6.0, 1.5)
    assert (cached.what, cached.ours_s, cached.ratio) == ("startup_cached", 2.0, 3.0)
