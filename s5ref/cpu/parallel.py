"""Jobs on threads. What a job computes does not depend on which thread runs it, so neither do the bits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

from threadpoolctl import ThreadpoolController

from s5ref.cpu.compile import announce
from s5ref.errors import S5Error

SHARES = 4  # of each thread

_lock = threading.Lock()
_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_pool: ThreadPoolExecutor | None = None


def threads() -> int:
    """The number of threads that jobs run on; at first the number of cores."""
    return _threads


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
    workers = min(_threads, jobs)
    if workers <= 1:
        kernel(0, jobs, *args)
        return
    shares = min(workers * SHARES, jobs)
    bounds = [jobs * i // shares for i in range(shares + 1)]
    rest = iter(list(pairwise(bounds)))  # shared: taking the next item is atomic

    def work() -> None:
        for lo, hi in rest:
            kernel(lo, hi, *args)

    futures = [_executor().submit(work) for _ in range(workers - 1)]
    work()
    for future in futures:
        future.result()


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


@cache
def _blas() -> list[Any]:
    return [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]


_blas_users = 0
_blas_before: list[int] = []


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread within: the threads are ours, and OpenBLAS's bits depend on how many it uses."""
    global _blas_users, _blas_before
    with _lock:
        if _blas_users == 0:
            _blas_before = [lib.get_num_threads() for lib in _blas()]
            for lib in _blas():
                lib.set_num_threads(1)
        _blas_users += 1
    try:
        yield
    finally:
        with _lock:
            _blas_users -= 1
            if _blas_users == 0:
                for lib, n in zip(_blas(), _blas_before, strict=True):
                    lib.set_num_threads(n)
