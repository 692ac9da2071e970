"""Peers that behave as their environment says: FAKE names how, FAKE_LOG a file that they write to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.peers import Peer

TESTS = str(Path(__file__).parent)


def environment(how: str, log: Path | None = None) -> dict[str, str]:
    return {"PYTHONPATH": TESTS, "FAKE": how} | ({"FAKE_LOG": str(log)} if log else {})


def peer(how: str, log: Path | None = None) -> Peer:
    return Peer("fake", "fake_peers:build", environment=environment(how, log))


def build(case: Case | None, what: str) -> Benchmark:
    how, log, calls = os.environ["FAKE"], os.environ.get("FAKE_LOG"), 0
    if how == "unbuilt":
        raise ValueError("no such thing")

    def once() -> None:
        nonlocal calls
        calls += 1
        if log:
            with open(log, "a", encoding="utf-8") as file:
                print(how, os.getpid(), file=file)
        if how == "talks":
            os.write(1, b"a library prints to stdout\n")
        if calls == 3:
            if how == "exits":
                os._exit(3)
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raises":
                raise MemoryError("no 7 GiB left")
            if how == "hangs":
                time.sleep(600)
        time.sleep(0.002)

    factor = {"wrong": 1.01, "nan": np.nan}.get(how, 1.0)
    values = {"output": np.ones(3), "grad.B": np.array([1.0, 2.0]) * factor}
    if how == "other":
        values["grad.more"] = np.ones(1)
    return Benchmark(once, lambda: values, calls=3 if how == "thrice" else 1)
