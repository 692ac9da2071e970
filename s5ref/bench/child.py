"""The process of one contender: ``python -m s5ref.bench.child``, spoken to in lines of JSON over its pipes.

    {"op": "build", "module": …, "case": {…}, "what": …}  →  {"ok": true, "first_s": …}
    {"op": "run"}                                         →  {"ok": true, "seconds": …, "bytes": …, "host": …}
    {"op": "values", "path": …}                           →  {"ok": true}, and the values in PATH (.npz)

first_s is the wall time of the first call, compilation included; what comes before (the interpreter, imports,
parameters, data) is not timed. bytes is the peak of the whole process, if the contender knows no better.
Whatever a contender prints goes to stderr; what it raises is answered as {"ok": false, "error": …}. Another
build replaces the contender.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.bench.case import Case
from s5ref.bench.work import Work

STATUS = Path("/proc/self/status")
FIRST_TO_GO = Path("/proc/self/oom_score_adj")  # when memory runs out, rather than the parent or a stranger


def serve() -> None:
    """Answer requests until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    with contextlib.suppress(OSError):
        FIRST_TO_GO.write_text("1000")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work: Work | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] == "build":
                work = None  # its memory makes room
                work, answer = _built(request)
            else:
                assert work is not None, "build comes first"
                answer = _values(work, request["path"]) if request["op"] == "values" else _run(work)
            answer = {"ok": True} | answer
        except (Exception, SystemExit) as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _built(request: Mapping[str, Any]) -> tuple[Work, dict[str, Any]]:
    case = None if request["case"] is None else Case.of_message(request["case"])
    work: Work = importlib.import_module(request["module"]).build(case, request["what"])
    return work, {"first_s": _timed(work)}


def _run(work: Work) -> dict[str, Any]:
    clock = work.seconds or (lambda: _timed(work))
    seconds = statistics.median(clock() for _ in range(work.calls))
    return {"seconds": seconds, "bytes": (work.bytes or peak_bytes)(), "host": work.host and work.host()}


def _timed(work: Work) -> float:
    began = time.perf_counter()
    work.once()
    return time.perf_counter() - began


def _values(work: Work, path: str) -> dict[str, Any]:
    np.savez(path, **work.values())  # type: ignore[arg-type]
    return {}


def peak_bytes() -> int | None:
    """The largest resident memory that this process has had; None where the system does not tell.

    Linux: VmHWM, since getrusage's ru_maxrss there begins with that of the process which started this one.
    """
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    serve()
