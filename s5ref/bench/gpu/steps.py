"""A recipe's model on a device: a training run's step, replayed or launched, and inference."""

from __future__ import annotations

import time
from collections.abc import Callable

from s5ref.bench.case import Case
from s5ref.bench.gpu.contender import FORWARD, LAUNCHED, TRAIN, Place
from s5ref.bench.models import gradients, training
from s5ref.bench.models import work as of_engine
from s5ref.bench.work import Work
from s5ref.engine import Engine


def step(place: Place, case: Case, what: str) -> Work:
    """``what``: train_step (recorded and replayed, as a run's); train_step, launched; forward."""
    from s5ref.gpu.engine import engine_of

    engine: Engine = engine_of(place.device, graphs=what != LAUNCHED)
    if what == FORWARD:
        return of_engine(engine, case, FORWARD)._replace(bytes=place.held)
    assert what in (TRAIN, LAUNCHED), what
    return _train_step(place, engine, case)


class Issued:
    """``run``, and how long its last call took on the host: it waits for nothing."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run, self.seconds = run, 0.0

    def __call__(self) -> None:
        began = time.perf_counter()
        self.run()
        self.seconds = time.perf_counter() - began


def _train_step(place: Place, engine: Engine, case: Case) -> Work:
    """A step waits by itself: it brings the loss and the output to the host."""
    updates, rates = training(engine, case)
    issued: Issued | None = None

    def once() -> None:
        nonlocal issued
        updates.step(rates)
        if issued is None:  # the first step has replaced ``run`` by what replays it
            issued = updates.run = Issued(updates.run or updates.body)

    return Work(
        once,
        lambda: gradients(engine, case),
        bytes=lambda: place.held(*([issued.run] if issued else [])),
        host=lambda: (issued.seconds or None) if issued else None,
    )
