"""A candidate in a child process of its own: started on need, ended when it hangs, replaced when it dies."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Any

from s5ref.verification.conformance.kit import frames

LOAD_SECONDS = 120.0  # importing torch or jax on a busy machine


class Died(Exception):
    """The child is gone without an answer: how, and its last words."""


class Hung(Exception):
    """The child did not answer in time, and was ended."""


class Child:
    """One candidate. `call` starts a process if there is none, so that a dead one is replaced."""

    def __init__(self, target: str, folder: str | None = None) -> None:
        self.target, self.folder = target, folder or os.getcwd()
        self.described: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Any] = queue.Queue()
        self._words: IO[bytes] | None = None

    def start(self) -> dict[str, Any]:
        """Start the process and load the candidate; what it says of itself, or why it could not."""
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - until the process is gone
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([self.folder, *_paths()])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "s5ref.verification.conformance.kit.child"],
            cwd=self.folder, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words,
        )  # fmt: skip
        self._answers = queue.Queue()
        threading.Thread(target=_reader, args=(self._process, self._answers), daemon=True).start()
        answer = self._ask({"op": "load", "target": self.target}, LOAD_SECONDS)
        if not answer["ok"]:
            self.close()
        self.described = answer
        return answer

    def call(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a message; raises `Hung` or `Died`, after which the next call has a new process."""
        if self._process is None:
            answer = self.start()
            if not answer["ok"]:
                return answer
        return self._ask(message, seconds)

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None and stream is process.stdin:
                    stream.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead child: the reader says so
            frames.write(self._process.stdin, message)
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise Hung(f"no answer within {seconds:g} s; the process was ended") from None
        if answer is None:
            raise Died(self._obituary())
        found: dict[str, Any] = answer
        return found

    def _obituary(self) -> str:
        process, words = self._process, self._words
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        code = process.returncode
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {_signal(-code)}"
        last = b""
        if words is not None:
            words.seek(0)
            last = words.read()[-2000:].strip()
        self.close()
        lines = last.decode(errors="replace").splitlines()
        return f"the process ended with {how}" + (f" ({lines[-1]})" if lines else "")


def _reader(process: subprocess.Popen[bytes], answers: queue.Queue[Any]) -> None:
    """Put every answer into the queue, and None at the end."""
    assert process.stdout is not None
    with process.stdout as stream:
        try:
            while True:
                answers.put(frames.read(stream))
        except (EOFError, OSError, ValueError):
            answers.put(None)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
