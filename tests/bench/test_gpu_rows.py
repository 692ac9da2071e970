"""The peer ``ours`` of a GPU, on the tests' device in child processes: steps, kernels, rates, refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench_on_shim as on_shim
import numpy as np
import pytest
from bench_on_shim import tiny
from cuda_shim import MARKS

from s5ref.bench.agree import BOUND, TF32_BOUND
from s5ref.bench.floor import Product, floor, moved
from s5ref.bench.gpu import launches, rows
from s5ref.bench.gpu.arrays import DRAWN, filled
from s5ref.bench.gpu.kernels import kernels
from s5ref.bench.gpu.ours import benchmark
from s5ref.bench.gpu.roofline import copy_name, product_name
from s5ref.bench.gpu.rows import Roofline, layer_rows, measure_roofline, products, step_row
from s5ref.bench.gpu.steps import FORWARD, LAUNCHED, STEPS, TRAIN
from s5ref.bench.peers import PEERS, Peer
from s5ref.bench.race import Repetitions, Times

pytestmark = MARKS

SHIM = Peer("ours", "bench_on_shim:build", environment={"PYTHONPATH": on_shim.TESTS})
RATES = Roofline(3e12, 60e12, [])
FEW = Repetitions(1, 1, 0.0)
NUMBA = Peer("numba", "s5ref.bench.ours:build")


def faulty(fault: str) -> Peer:
    return replace(SHIM, environment={**SHIM.environment, "FAULT": fault})


@pytest.mark.parametrize("what", STEPS)
def test_a_step_beside_a_peer(what: str) -> None:
    """The peer is our engine of the CPU: it computes the same, by another path."""
    row = step_row(tiny(), what, None if what == LAUNCHED else NUMBA, FEW, SHIM, "float32", BOUND, RATES)
    assert (row.error, row.note, row.precision, row.repeats) == (None, None, "float32", 1)
    assert row.ours_s is not None
    assert row.floor_s == floor(tiny(), what, 3e12, 60e12)
    assert row.bytes_per_s == moved(tiny(), what) / row.ours_s
    assert row.peak_gflops == 60e3
    assert row.gflops == tiny().flops(what) / row.ours_s / 1e9
    assert (row.host_s is None) == (what == FORWARD)
    if row.host_s is not None:
        assert 0 < row.host_s < row.ours_s
    assert row.ours_bytes == on_shim.TAKEN + (0 if what == FORWARD else 1)  # a step's graph is asked too
    if what != LAUNCHED:
        assert row.peer_s is not None
        assert row.ratio == row.peer_s / row.ours_s
        assert row.peer_bytes is not None
        assert row.peer_bytes > 2**20  # of its process


@pytest.mark.parametrize("name", ["listops", "retrieval"])
def test_other_models_agree_by_the_replayed_step(name: str) -> None:
    row = step_row(tiny(name), TRAIN, NUMBA, FEW, SHIM, "float32", BOUND, RATES)
    assert row.error is None
    assert row.peer_s is not None


@pytest.mark.jax
def test_jax_agrees_with_the_replayed_step() -> None:
    row = step_row(tiny(), TRAIN, PEERS["jax"], FEW, SHIM, "float32", BOUND, RATES)
    assert row.error is None
    assert row.peer_s is not None


def test_a_peer_that_computes_something_else_is_not_timed() -> None:
    for bound in (BOUND, TF32_BOUND):
        row = step_row(tiny(), TRAIN, NUMBA, FEW, faulty("wrong"), "float32", bound, RATES)
        assert "numba computes something else" in str(row.error)
        assert f"bound {bound:g}" in str(row.error)
        assert (row.peer_s, row.ratio) == (None, None)
        assert row.ours_s is not None


def test_one_that_fails_beside_the_other_is_timed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "timed", lambda *_: ([Times(1.0, [1.0], 7), Times(error="no room")], []))
    row = step_row(tiny(), TRAIN, NUMBA, FEW, SHIM, "float32", BOUND, RATES)
    assert row.note == "numba timed alone; beside the other: no room"
    assert row.error is None
    assert row.peer_s is not None
    assert row.ratio == row.peer_s


def test_kernels_beside_the_roofline() -> None:
    case = tiny("listops")
    found = {row.kernel: row for row in layer_rows(case, SHIM, 2, RATES)}
    assert [*found] == [*kernels(), *map(product_name, products(case))]
    assert [row.error for row in found.values()] == [None] * len(found)
    for name, row in found.items():
        assert row.seconds is not None
        assert row.min_s is not None
        assert 0 < row.min_s <= row.seconds
        assert (row.case, row.repeats) == ("listops", 2)
        assert row.bytes_per_s == row.bytes / row.seconds
        assert row.percent_of_copy == pytest.approx(100 * row.bytes_per_s / 3e12)
        assert (row.percent_of_product is None) == (name in kernels())
        if row.flops:
            assert row.flops_per_s == row.flops / row.seconds
    assert found["gate"].bytes == 16 * 2 * 9 * 6


def test_what_fails_is_said_and_the_rest_goes_on() -> None:
    found = {row.kernel: row for row in layer_rows(tiny(), faulty("no room"), 1, RATES)}
    assert found["gate"].error == "S5Error: no room for it"
    assert (found["gate"].seconds, found["gate"].bytes_per_s, found["gate"].percent_of_copy) == (None,) * 3
    assert [name for name, row in found.items() if row.error] == ["gate"]


def test_the_rates_are_the_largest_that_could_be_had() -> None:
    found = measure_roofline(faulty("no room"), [4096, 65536, 2**20], 16, 1)
    assert [row.kernel for row in found.rows] == [
        "copy 4096", "copy 65536", "copy 1048576", "product 16 16 16 nn"
    ]  # fmt: skip
    assert [row.bytes for row in found.rows] == [8192, 131072, 2**21, 3 * 4 * 16**2]
    assert found.rows[1].error == "S5Error: no room for it"
    rates = [row.bytes_per_s for row in found.rows[:3]]
    assert found.copy_bytes_per_s == max(rate for rate in rates if rate)
    assert found.product_flops_per_s == found.rows[-1].flops_per_s
    assert found.rows[-1].flops == 2 * 16**3


def test_without_a_roofline_there_is_no_floor() -> None:
    row = step_row(tiny(), FORWARD, None, FEW, SHIM, "float32", BOUND, Roofline(None, None, []))
    assert (row.floor_s, row.peak_gflops, row.percent_of_peak) == (None, None, None)
    assert row.bytes_per_s is not None


def test_a_product_as_its_name_says() -> None:
    p = Product(3, 4, 5, True, False)
    assert product_name(p) == "product 3 4 5 tn"
    assert (p.flops, p.bytes) == (120, 4 * (12 + 20 + 15))
    for transposes in ((False, False), (False, True), (True, False)):
        benchmark(on_shim.timed_device(), None, product_name(Product(3, 4, 5, *transposes))).once()


def test_a_copy_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    before = np.copyto

    def copyto(out: Any, x: Any) -> None:
        copied.append((out, x))
        before(out, x)

    monkeypatch.setattr(np, "copyto", copyto)
    benchmark(on_shim.timed_device(), None, copy_name(8192)).once()
    out, x = copied[-1]
    assert out.nbytes == x.nbytes == 8192
    np.testing.assert_array_equal(out.get(), x.get())


@pytest.mark.parametrize("what", ["scan", "adamw"])
def test_many_launches_are_one_graph(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as last long enough, and the seconds are those of one."""
    seen: list[int] = []

    def clock(body: object, times: int) -> float:
        seen.append(times)
        return 1e-3

    made = benchmark(on_shim.timed_device()._replace(seconds=clock), tiny(), what)
    assert made.seconds is not None
    assert made.seconds() == pytest.approx(1e-3 / 5)
    assert seen == [1, 1, launches.REPLAYS]


def test_arrays_repeat_their_rows_and_hold_no_others() -> None:
    device = on_shim.timed_device().device
    shape = (3, DRAWN // 7 + 1, 4)
    x = filled(device, shape, "x").get()  # type: ignore[attr-defined]
    assert x.shape == shape
    assert x.dtype == np.float32
    flat = x.reshape(-1, 4)
    np.testing.assert_array_equal(flat[DRAWN // 4 :], flat[: len(flat) - DRAWN // 4])
    assert abs(float(flat.std()) - 1) < 0.01
    z = filled(device, (2, 5, 3), "z", np.complex64).get()  # type: ignore[attr-defined]
    assert (z.shape, z.dtype) == ((2, 5, 3), np.complex64)
    assert np.isfinite(z).all()


def test_the_page_says_the_same_traffic_of_every_kernel() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| ([^|]+?) \|[^|]+\|[^|]+\| (\d+) \|$", page, re.MULTILINE))
    names = {"scan": "scan, constant Λ̄", "adjoint": "adjoint, constant Λ̄", "adamw": "AdamW, per parameter",
             "batch_norm": "BatchNorm, training", "batch_norm_vjp": "BatchNorm vjp",
             "gate": "gate, its moments or not"}  # fmt: skip
    for name, found in kernels().items():
        if not name.startswith("gelu"):  # in a layer, a part of activate
            assert int(table[names.get(name, name)]) == found.bytes, name


def test_a_scan_moves_the_same_in_one_block_a_sequence_and_in_a_chain() -> None:
    long = replace(tiny(), batch=1, length=16384)
    many = replace(tiny(), batch=300)
    assert kernels()["scan"].traffic(long) == 16 * 16384 * 2
    assert kernels()["scan"].traffic(many) == 16 * 300 * 9 * 2
    assert kernels()["adjoint"].traffic(long) == 24 * 16384 * 2
    assert kernels()["activate"].traffic(many) == 16 * 300 * 9 * 6
