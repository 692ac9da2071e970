"""SIGINT and SIGTERM as a wish to stop, looked at between two updates."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """``number`` is the first signal that arrived, or None; further ones change nothing."""

    number: int | None = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number


@contextmanager
def noted() -> Iterator[Signals]:
    """Within: SIGINT and SIGTERM are noted and do not end the process. No effect outside the main thread."""
    signals = Signals()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, signals._note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
