"""Contenders in turn: first, second, first, second …, each in a process of its own."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from s5ref.bench.case import Case
from s5ref.bench.process import Child, Failed, Repetition


class Effort(NamedTuple):
    """At least and at most so many repetitions of each contender; in between, until ``seconds`` are over."""

    least: int
    most: int
    seconds: float


class Contender(NamedTuple):
    """The module that builds it, and the environment of its process beside ours."""

    module: str
    environment: Mapping[str, str]


@dataclass
class Times:
    """Of one contender: first call and repetitions in seconds, peak memory, or what went wrong; and of each
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
        self.seconds, self.hosts, self.bytes, self.error = [], [], None, error

    def add(self, repetition: Repetition) -> None:
        self.seconds.append(repetition.seconds)
        self.bytes = repetition.bytes
        if repetition.host is not None:
            self.hosts.append(repetition.host)


def race(contenders: list[Contender], case: Case | None, what: str, effort: Effort) -> list[Times]:
    """Every contender's times; one that fails is out, the others go on. All processes are gone at the end."""
    found = [Times() for _ in contenders]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(c.environment)) for c in contenders]
        for contender, child, times in zip(contenders, children, found, strict=True):
            try:
                times.first = child.build(contender.module, case, what)
            except Failed as error:
                times.fail(str(error))
                child.close()
        began = time.monotonic()
        for done in range(effort.most):
            if all(t.error for t in found) or (
                done >= effort.least and time.monotonic() - began > effort.seconds
            ):
                break
            for child, times in zip(children, found, strict=True):
                if not times.error:
                    _repeat(child, times)
    return found


def _repeat(child: Child, times: Times) -> None:
    try:
        child.run()  # not counted: it finds the caches and its memory as the others' turns left them
        repetition = child.run()
    except Failed as error:
        times.fail(str(error))
        child.close()
    else:
        times.add(repetition)


def series(
    contender: Contender, case: Case | None, whats: Iterable[str], repeats: int
) -> Iterator[tuple[str, Times]]:
    """One contender's works one after the other, in one process; in another one after a work that failed."""
    child: Child | None = None
    try:
        for what in whats:
            times = Times()
            child = child or Child(contender.environment)
            try:
                times.first = child.build(contender.module, case, what)
                for _ in range(repeats):
                    times.add(child.run())
            except Failed as error:
                times.fail(str(error))
                child.close()
                child = None
            yield what, times
    finally:
        if child is not None:
            child.close()
