"""A contender's child process, from the parent's side: start it, ask it, and say how it ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.bench.case import Case

COMMAND = (sys.executable, "-m", "s5ref.bench.child")


class Failed(Exception):
    """A contender raised, died, or answered what is no answer; the words say which."""


class Repetition(NamedTuple):
    """Time of one repetition, peak memory so far, the host's share of the time (None: unknown)."""

    seconds: float
    bytes: int | None
    host: float | None = None


class Child:
    """Use as a context manager: on leaving, also by Ctrl-C, the process is ended."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - until the process is gone
        self._process = subprocess.Popen(
            command, env=os.environ | (environment or {}), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words,
        )  # fmt: skip

    def build(self, module: str, case: Case | None, what: str) -> float:
        """Build the contender and make its first call: the seconds of that call."""
        message = {"op": "build", "module": module, "case": case and case.message(), "what": what}
        return self._seconds(self._ask(message), "first_s")

    def run(self) -> Repetition:
        """One repetition."""
        answer = self._ask({"op": "run"})
        size, host = answer.get("bytes"), answer.get("host")
        return Repetition(
            self._seconds(answer, "seconds"),
            size if isinstance(size, int) else None,
            host if isinstance(host, float) else None,
        )

    def values(self) -> dict[str, Array]:
        """What the contender computes, by name."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "values.npz"
            self._ask({"op": "values", "path": str(path)})
            with np.load(path) as stored:
                return dict(stored)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            with contextlib.suppress(OSError):  # what it no longer reads
                if stream is not None:
                    stream.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # a dead child: its silence says so
            print(json.dumps(message), file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            raise Failed(self._obituary())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "ok" not in answer:
            raise Failed(f"answered {line.strip()[:80]!r}, which is no answer")
        if not answer["ok"]:
            raise Failed(str(answer.get("error", "no reason given")))
        return answer

    @staticmethod
    def _seconds(answer: Mapping[str, Any], name: str) -> float:
        value = answer.get(name)
        if not isinstance(value, float) or not 0 < value < math.inf:
            raise Failed(f"answered {name} = {value!r}, which is no time")
        return value

    def _obituary(self) -> str:
        """How the process ended: its signal or exit code, and its last line."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "the process closed its pipe"
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        how = f"the process ended with exit code {code}"
        if code < 0:
            killed = " (out of memory?)" if -code == getattr(signal, "SIGKILL", 9) else ""
            how = f"the process was ended by {signal.Signals(-code).name}{killed}"
        return how + (f": {lines[-1]}" if lines else "")
