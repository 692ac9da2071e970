"""Seconds and bytes as CuPy's events and pools tell them: milliseconds, of several bodies, of every pool."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from s5ref.bench.gpu.run import bench
from s5ref.gpu.measurements import pool_bytes, seconds


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a CuPy was asked for, in order: one whose events are 60 ms apart, its pool of 1000 bytes."""
    told: list[str] = []

    class Event:
        def record(self) -> None:
            told.append("record")

        def synchronize(self) -> None:
            told.append("wait")

    def elapsed(begin: Any, end: Any) -> float:
        assert begin is not end
        return 60.0

    cupy: Any = SimpleNamespace(
        cuda=SimpleNamespace(Event=Event, get_elapsed_time=elapsed),
        get_default_memory_pool=lambda: SimpleNamespace(total_bytes=lambda: 1000),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return told


def test_seconds_of_one_of_three(told: list[str]) -> None:
    assert seconds(lambda: told.append("body"), 3) == pytest.approx(0.02)
    assert told == ["record", "body", "body", "body", "record", "wait"]


@pytest.mark.usefixtures("told")
def test_bytes_of_all_pools() -> None:
    graph = SimpleNamespace(pool=SimpleNamespace(total_bytes=lambda: 24))
    assert pool_bytes() == 1000
    assert pool_bytes(graph, lambda: None, graph) == 1048


@pytest.mark.gpu
@pytest.mark.parametrize("tf32", [False, True])
def test_a_quick_bench_on_a_gpu(tf32: bool) -> None:
    found = bench("digits", [], tf32, True, lambda words: None)
    errors = [row.error for row in found.rows] + [row.error for row in (*found.kernels, *found.roofline.rows)]
    assert [error for error in errors if error] == []
    for row in found.rows:
        assert row.ours_s is not None
        assert row.floor_s is not None
        assert row.ours_bytes
        assert row.floor_s < row.ours_s
