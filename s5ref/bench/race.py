"""Peers in turn: first, second, first, second …, each in a process of its own."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from s5ref.bench.case import Case
from s5ref.bench.peers import Peer
from s5ref.bench.process import Failed, PeerProcess, Timing


class Repetitions(NamedTuple):
    """At least and at most so many repetitions of each peer; in between, until ``seconds`` are over."""

    least: int
    most: int
    seconds: float


@dataclass
class Times:
    """Of one peer: first call and repetitions in seconds, peak memory, or what went wrong; and of each
    repetition the host's share, where it is known.
    """

    first: float | None = None
    seconds: list[float] = field(default_factory=list)
    bytes: int | None = None
    error: str = ""
    hosts: list[float] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def host(self) -> float | None:
        return statistics.median(self.hosts) if self.hosts else None

    @property
    def best(self) -> float | None:
        return min(self.seconds, default=None)

    @property
    def compile(self) -> float | None:
        """What the first call took longer than the others."""
        return None if self.first is None or self.median is None else max(0.0, self.first - self.median)

    def fail(self, error: str) -> None:
        self.first, self.seconds, self.hosts, self.bytes, self.error = None, [], [], None, error

    def add(self, timing: Timing) -> None:
        self.seconds.append(timing.seconds)
        self.bytes = timing.bytes
        if timing.host is not None:
            self.hosts.append(timing.host)


def race(peers: list[Peer], case: Case | None, what: str, repetitions: Repetitions) -> list[Times]:
    """Every peer's times; one that fails is out, the others go on. All processes are gone at the end."""
    raced = [Times() for _ in peers]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(PeerProcess(peer)) for peer in peers]
        for child, times in zip(children, raced, strict=True):
            with _failing(child, times):
                times.first = child.build(case, what)
        began = time.monotonic()
        for done in range(repetitions.most):
            enough = done >= repetitions.least and time.monotonic() - began > repetitions.seconds
            if enough or all(times.error for times in raced):
                break
            for child, times in zip(children, raced, strict=True):
                if not times.error:
                    with _failing(child, times):
                        child.run()  # not counted: it finds caches and memory as the others' turns left them
                        times.add(child.run())
    return raced


def series(peer: Peer, case: Case | None, whats: Iterable[str], repeats: int) -> Iterator[tuple[str, Times]]:
    """One peer's benchmarks one after the other, in one process; in another one after one that failed."""
    with PeerProcess(peer) as child:
        for what in whats:
            times = Times()
            with _failing(child, times):
                times.first = child.build(case, what)
                for _ in range(repeats):
                    times.add(child.run())
            yield what, times


@contextlib.contextmanager
def _failing(child: PeerProcess, times: Times) -> Iterator[None]:
    """What fails is said in the times, and ends the process."""
    try:
        yield
    except Failed as error:
        times.fail(str(error))
        child.close()
