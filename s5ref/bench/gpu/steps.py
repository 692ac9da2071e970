"""A recipe's model on a device: a training run's step, replayed or launched, and inference."""

from __future__ import annotations

import time
from collections.abc import Callable

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.gpu.device import TimedDevice
from s5ref.bench.models import benchmark, gradients, training
from s5ref.engine import Engine

TRAIN, LAUNCHED, FORWARD = "train_step", "train_step, launched", "forward"
STEPS = (TRAIN, LAUNCHED, FORWARD)


def step(on: TimedDevice, case: Case, what: str) -> Benchmark:
    """``what``: train_step (recorded and replayed, as a run's); train_step, launched; forward."""
    from s5ref.gpu.engine import engine_of

    engine: Engine = engine_of(on.device, graphs=what != LAUNCHED)
    if what == FORWARD:
        return benchmark(engine, case, FORWARD)._replace(bytes=on.bytes)
    assert what in (TRAIN, LAUNCHED), what
    return _train_step(on, engine, case)


class Launched:
    """``run``, and how long its last call took on the host: it waits for nothing."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run, self.seconds = run, 0.0

    def __call__(self) -> None:
        began = time.perf_counter()
        self.run()
        self.seconds = time.perf_counter() - began


def _train_step(on: TimedDevice, engine: Engine, case: Case) -> Benchmark:
    """A step waits by itself: it brings the loss and the output to the host."""
    updates, rates = training(engine, case)
    launched: Launched | None = None

    def once() -> None:
        nonlocal launched
        updates.step(rates)
        if launched is None:  # the first step has replaced ``run`` by what replays it
            launched = updates.run = Launched(updates.run or updates.body)

    return Benchmark(
        once,
        lambda: gradients(engine, case),
        bytes=lambda: on.bytes(*([launched.run] if launched else [])),
        host=lambda: (launched.seconds or None) if launched else None,
    )
