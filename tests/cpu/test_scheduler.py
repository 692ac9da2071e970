"""Tasks in phases: every task is done once, and none before the phase before it is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.cpu import parallel, set_threads, threads
from s5ref.cpu.compile import compiled
from s5ref.cpu.parallel import run_phases, shares
from s5ref.cpu.scheduler import done, take, wait_for


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


@compiled
def _sum_of_sums(progress, given, parts, after):  # type: ignore[no-untyped-def]
    """parts[j] = Σ given[j], slowly; then after[j] += Σ parts: right only where all parts are there."""
    for phase in range(2):
        task = take(progress, phase)
        while task >= 0:
            if phase == 0:
                total = 0.0
                for i in range(given.shape[1]):
                    total += given[task, i]
                parts[task] = total
            else:
                for part in parts:
                    after[task] += part
            done(progress, phase)
            task = take(progress, phase)
        wait_for(progress, phase)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_every_task_once_and_every_phase_after_the_one_before(number: int) -> None:
    set_threads(number)
    for tasks in (1, 2, 3, 40):
        for _ in range(50):
            given = np.ones((tasks, 3000))
            parts, after = np.full(tasks, np.nan), np.zeros(tasks)
            run_phases(_sum_of_sums, (tasks, tasks), given, parts, after)
            assert (after == 3000 * tasks).all()


def test_a_thread_that_comes_late_does_nothing() -> None:
    given, parts, after = np.ones((4, 10)), np.empty(4), np.zeros(4)
    progress = np.zeros((2, 3), np.int64)
    progress[:, 2] = 4
    _sum_of_sums(progress, given, parts, after)
    parts[:] = np.nan
    _sum_of_sums(progress, given, parts, after)
    assert (after == 40).all()


def test_two_threads_may_run_phases_at_a_time() -> None:
    set_threads(2)
    found: list[Array] = []

    def go() -> None:
        for _ in range(100):
            after = np.zeros(5)
            run_phases(_sum_of_sums, (5, 5), np.ones((5, 100)), np.empty(5), after)
            found.append(after)

    callers = [threading.Thread(target=go) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 300
    assert all((after == 500).all() for after in found)


@pytest.mark.parametrize("short", [0.0, 1e9])  # whether the caller waits for the others' threads
def test_a_thread_that_fails_before_it_begins_leaves_its_tasks_to_the_others(
    short: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_threads(2)
    monkeypatch.setattr(parallel, "SHORT", short)
    caller = threading.get_ident()

    def work(progress: Array, *args: Any) -> None:
        if threading.get_ident() != caller:
            raise MemoryError
        _sum_of_sums(progress, *args)

    after = np.zeros(6)
    run_phases(work, (6, 6), np.ones((6, 10)), np.empty(6), after)
    assert (after == 60).all()


def test_shares_become_smaller() -> None:
    for jobs in (1, 2, 7, 50, 1000):
        for workers in (2, 3, 16):
            found = shares(jobs, workers)
            sizes = [hi - lo for lo, hi in found]
            assert [job for lo, hi in found for job in range(lo, hi)] == list(range(jobs))
            assert sizes == sorted(sizes, reverse=True)
            assert sizes[-1] == 1
            assert sizes[0] == -(-jobs // (2 * workers))
