"""One launch, or a few, timed on the device itself: many of them in a row, without the host in between."""

from __future__ import annotations

import math
from collections.abc import Callable

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.gpu.device import TimedDevice

LONG = 5e-3  # seconds, at least, of what lies between two looks at the clock
MOST = 64  # bodies of a graph
REPLAYS = 4  # of a graph, between two looks at the clock


def repeated(on: TimedDevice, body: Callable[[], object], recorded: bool = True) -> Benchmark:
    """The seconds of one ``body``. ``recorded``: as many as last LONG are one graph, since the host takes
    longer to launch a small kernel than the device to run it.
    """
    on.seconds(body, 1)  # compiles, plans
    many = max(1, min(MOST, math.ceil(LONG / max(on.seconds(body, 1), LONG / MOST))))

    def bodies() -> None:
        for _ in range(many):
            body()

    run = on.device.capture(bodies) if recorded else bodies
    return Benchmark(lambda: on.seconds(run, 1), seconds=lambda: on.seconds(run, REPLAYS) / many)
