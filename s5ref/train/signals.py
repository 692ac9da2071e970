"""SIGINT and SIGTERM as a request to stop, which training looks at between two updates."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """``number`` is the first signal that arrived, or None; further ones change nothing."""

    number: int | None = None

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within: SIGINT and SIGTERM are recorded and do not end the process (in the main thread alone)."""
    request = StopRequest()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.signal(n, request._record) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
