"""What is read off a GPU while it computes: the time between two events, the memory of CuPy's pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def seconds(body: Callable[[], object], times: int) -> float:
    """Of one ``body``, of ``times`` that are issued one after the other on the current stream. Waits."""
    import cupy

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(times):
        body()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3 / times


def pool_bytes(*replays: Any) -> int:
    """Bytes that the default pool and those of recorded graphs have taken from the device: never less than
    what was in use at any time since, as pools keep what they have.
    """
    import cupy

    pools = [cupy.get_default_memory_pool(), *(r.pool for r in replays if hasattr(r, "pool"))]
    return int(sum(pool.total_bytes() for pool in pools))
