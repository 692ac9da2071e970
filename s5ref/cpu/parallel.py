"""Jobs on threads. What a job computes does not depend on which thread runs it, so neither do the bits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from s5ref.cpu.compile import announce
from s5ref.cpu.scheduler import TASKS
from s5ref.errors import S5Error
from s5ref.machine import usable_cores

SHORT = 2e-3  # seconds

_config: Any = numba.config
_lock = threading.Lock()
_threads = min(usable_cores(), int(_config.NUMBA_NUM_THREADS))  # which joblib sets for its workers
_limit: ContextVar[int | None] = ContextVar("limit", default=None)
_pool: ThreadPoolExecutor | None = None


def threads() -> int:
    """The number of threads that jobs run on; at first the number of cores, or NUMBA_NUM_THREADS if that is
    less.
    """
    return min(_threads, _limit.get() or _threads)


@contextmanager
def at_most(n: int) -> Iterator[None]:
    """While it lasts, what this thread runs takes no more than ``n`` threads."""
    token = _limit.set(n)
    try:
        yield
    finally:
        _limit.reset(token)


def set_threads(n: int) -> None:
    """Run jobs on ``n`` threads from now on. The results do not depend on it."""
    global _threads, _pool
    if n < 1:
        raise S5Error(f"set_threads: at least one thread; got {n}.", "Pass a positive number.")
    with _lock:
        if _pool is not None and n != _threads:
            _pool.shutdown()
            _pool = None
        _threads = n


def run(kernel: Callable[..., None], jobs: int, *args: Any) -> None:
    """``kernel(lo, hi, *args)`` over the jobs 0 … jobs−1, in contiguous shares.

    A thread takes the next share when it is done with its last, so that one held up does not hold up others.
    """
    announce()
    workers = min(threads(), jobs)
    if workers <= 1:
        kernel(0, jobs, *args)
        return
    rest = iter(shares(jobs, workers))  # shared: taking the next item is atomic

    def work() -> None:
        for lo, hi in rest:
            kernel(lo, hi, *args)

    futures = [_executor().submit(work) for _ in range(workers - 1)]
    work()
    for future in futures:
        future.result()


def run_phases(kernel: Callable[..., None], tasks: Sequence[int], *args: Any) -> None:
    """``kernel(progress, *args)``, which takes tasks of its phases as of `s5ref.cpu.scheduler`, so many of
    each.

    It returns when they are done. A thread that has not begun by then will find nothing to do; one that
    cannot begin, for lack of memory, leaves its share to the others. A long call waits for them to let go of
    its arrays; of a short one the wait would be a good part.
    """
    announce()
    start = time.perf_counter()
    progress = np.zeros((len(tasks), 3), np.int64)
    progress[:, TASKS] = tasks
    futures = [_executor().submit(kernel, progress, *args) for _ in range(min(threads(), max(tasks)) - 1)]
    kernel(progress, *args)
    if time.perf_counter() - start > SHORT:
        wait(futures)


def shares(jobs: int, workers: int) -> list[tuple[int, int]]:
    """Bounds of contiguous shares, each a part of what is left: large ones first, for few calls; small ones
    last, so that the threads end together.
    """
    bounds = [0]
    while bounds[-1] < jobs:
        left = jobs - bounds[-1]
        bounds.append(bounds[-1] + -(-left // (2 * workers)))
    return list(pairwise(bounds))


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _threads - 1), thread_name_prefix="s5ref")
        return _pool


def _after_fork() -> None:
    """Threads do not survive a fork: the child starts with none, and makes its own."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
