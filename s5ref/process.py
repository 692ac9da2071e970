"""A child process that answers requests one at a time: candidates (`s5ref check`), peers (`s5ref bench`).

A message is one line of JSON, followed by the bytes of its arrays in their order; in the line
``{"__array__": [dtype, shape]}`` stands for each of them. Reading a message runs no code.

The parent asks: ``Child(python("package.module")).ask({"op": "run"})``. The module calls ``serve(answer)``.
An answer is a dict with ``ok``. Where it is false, ``kind`` and ``message`` say why; what ``answer`` raises
becomes ``{"ok": False, "kind": "raised", "message": "ValueError: …"}``. What the child prints goes to its
stderr. The parent keeps that, and the last line of it goes into the report of a child that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

ARRAY = "__array__"
KILLED_FIRST = Path("/proc/self/oom_score_adj")  # when memory runs out: this process, before any other
Message = dict[str, Any]


class Failed(Exception):
    """No result: the message says why."""


class Died(Failed):
    """The child ended without an answer, or its answer has not the form of one."""


class Hung(Failed):
    """The child did not answer in time, and was ended."""


def python(module: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module]


class Child:
    """One child process and what it starts. A context manager: leaving it ends them, also after Ctrl-C.

    Parameters
    ----------
    command : sequence of str
    environment : variables that are set beside those of this process
    folder : its working directory; None: that of this process
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, folder: str | None = None
    ) -> None:
        self._command, self._folder = list(command), folder
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether a process was started and not ended since."""
        return self._process is not None

    def ask(self, request: Mapping[str, Any], seconds: float | None = None) -> Message:
        """The answer to a request. Starts a process if none is running, so that one that died is replaced.

        Raises
        ------
        Hung : no answer within ``seconds``
        Died : the process ended, or what it wrote is no answer
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def expire() -> None:
            late.set()
            self._kill(process)

        timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, expire)
        timer.start()
        try:
            with contextlib.suppress(OSError):  # the process is gone: reading says so
                process.stdin.write(encode(request))
                process.stdin.flush()
            answer = read(process.stdout)
        except EOFError:
            answer = None
        except ValueError as error:
            self.close()
            raise Died(f"answered {error}, which is no answer") from None
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            self.close()
            raise Hung(f"no answer within {seconds:g} s; the process was ended")
        if answer is None:
            raise Died(self._end())
        if "ok" not in answer:
            self.close()
            raise Died(f"answered {json.dumps(answer)[:80]}, which is no answer")
        return answer

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        self._kill(process)
        process.wait()
        for stream in (process.stdin, process.stdout, self._stderr):
            with contextlib.suppress(OSError):  # what the process no longer reads
                if stream is not None:
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - until the process is gone
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, env=os.environ | self._environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
        )  # fmt: skip
        return self._process

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()

    def _end(self) -> str:
        """Close, and how the process ended: its exit code or signal, and the last line of its stderr."""
        process, stderr = self._process, self._stderr
        assert process is not None
        assert stderr is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        code = process.returncode
        stderr.seek(0)
        lines = stderr.read()[-2000:].decode(errors="replace").strip().splitlines()
        self.close()
        if code is None:
            return "the process closed its pipe"
        how = f"exit code {code}" if code >= 0 else f"signal {_signal(-code)}"
        return f"the process ended with {how}" + (f": {lines[-1]}" if lines else "")


def serve(answer: Callable[[Message], Message]) -> None:
    """In the child: answer requests until the other end closes."""
    with contextlib.suppress(OSError):
        KILLED_FIRST.write_text("1000")
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    with contextlib.suppress(EOFError):
        while True:
            request = read(requests)
            try:
                frame = encode({"ok": True} | answer(request))
            except (Exception, SystemExit) as error:
                frame = encode({"ok": False, "kind": "raised", "message": _words(error)})
            answers.write(frame)
            answers.flush()


def encode(message: Any) -> bytes:
    """A tree of dicts, lists, tuples (which become lists), arrays, and plain values as bytes."""
    arrays: list[bytes] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            arrays.append(value.tobytes())
            return {ARRAY: [value.dtype.str, list(value.shape)]}
        if isinstance(value, Mapping):
            return {str(key): plain(child) for key, child in value.items()}
        return [plain(child) for child in value] if isinstance(value, list | tuple) else value

    return b"".join([json.dumps(plain(message)).encode(), b"\n", *arrays])


def read(stream: IO[bytes]) -> Message:
    """The next message.

    Raises
    ------
    EOFError : the other end is gone
    ValueError : the line is no message; its words are the line
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the other end closed the pipe")

    def array(value: Message) -> Any:  # called in the order in which the objects of the line end
        if ARRAY not in value:
            return value
        dtype, shape = np.dtype(value[ARRAY][0]), tuple(value[ARRAY][1])
        data = bytearray(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        if stream.readinto(data) < len(data):  # type: ignore[attr-defined]
            raise EOFError("the other end closed the pipe")
        return np.frombuffer(data, dtype).reshape(shape)

    with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
        message = json.loads(line, object_hook=array)
        if isinstance(message, dict):
            return message
    raise ValueError(repr(line.decode(errors="replace").strip()[:80]))


def _words(error: BaseException) -> str:
    """The type and the first line of what was raised."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
