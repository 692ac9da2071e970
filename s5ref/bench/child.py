"""The process of one peer, ``python -P -m s5ref.bench.child``, asked as `s5ref.process` says.

    {"op": "build", "builder": …, "case": {…}, "what": …}  →  {"first_s": …}
    {"op": "run"}                                          →  {"seconds": …, "bytes": …, "host": …}
    {"op": "values"}                                       →  {"values": {name: array, …}}

first_s is the wall time of the first call, compilation included; what comes before (the interpreter, imports,
parameters, data) is not timed. bytes is the peak of the whole process, if the benchmark knows no better.
Another build replaces the benchmark.
"""

from __future__ import annotations

import importlib
import statistics
import time

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.machine import peak_bytes
from s5ref.process import Message, serve


class Host:
    """A benchmark, once it is built."""

    benchmark: Benchmark | None = None

    def answer(self, request: Message) -> Message:
        if request["op"] == "build":
            self.benchmark = None  # its memory makes room
            case = None if request["case"] is None else Case.of_message(request["case"])
            module, _, function = request["builder"].partition(":")
            self.benchmark = getattr(importlib.import_module(module), function)(case, request["what"])
            return {"first_s": _timed(self.benchmark)}
        assert self.benchmark is not None, "build comes first"
        return {"values": self.benchmark.values()} if request["op"] == "values" else _run(self.benchmark)


def _run(benchmark: Benchmark) -> Message:
    clock = benchmark.seconds or (lambda: _timed(benchmark))
    seconds = statistics.median(clock() for _ in range(benchmark.calls))
    size, host = (benchmark.bytes or peak_bytes)(), benchmark.host and benchmark.host()
    return {"seconds": seconds, "bytes": size, "host": host}


def _timed(benchmark: Benchmark) -> float:
    began = time.perf_counter()
    benchmark.once()
    return time.perf_counter() - began


if __name__ == "__main__":
    serve(Host().answer)
