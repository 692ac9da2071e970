"""A child process that answers requests one at a time: candidates (`s5ref check`), peers (`s5ref bench`).

A message is one line of JSON, followed by the bytes of its arrays in their order; in the line
``{"__array__": [dtype, shape, order]}`` stands for each of them. Reading a message runs no code.

The parent asks: ``Child(python("package.module")).ask({"op": "run"})``. The module calls ``serve(answer)``.
An answer is a dict with ``ok``. Where it is false, ``kind`` and ``message`` say why; what ``answer`` raises
becomes ``{"ok": False, "kind": "raised", "message": "ValueError: …", "traceback": …}``. What the child
prints goes to its stderr. The parent keeps that, and the last line of it goes into the report of a child that
died.

No child outlives its parent, whatever ends that: a thread of the child waits for the end of the pipe, and
ends the child with all that it started. Where code that holds the interpreter's lock keeps the thread
waiting, a timer ends the child soon after the time limit of the request.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.util
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, Self

import numpy as np

ARRAY = "__array__"
LINE = 2**24  # bytes of the longest line of a message
PRINTED = 2**20  # bytes of what a child printed that are read at once
MARK = "S5REF_CHILD"  # the variable by which a child and all that it starts are found
PROC = Path("/proc")
GRACE = 5.0  # seconds after its time limit at which a child ends that its parent did not end
KILLED_FIRST = Path("/proc/self/oom_score_adj")  # when memory runs out: this process, before any other
Message = dict[str, Any]


class Failed(Exception):
    """No result: the message says why."""


class Died(Failed):
    """The child ended without an answer, or its answer has not the form of one."""


class Garbled(Died):
    """Something else than an answer came: code in the child wrote to the pipe of the answers."""


class Hung(Failed):
    """The child did not answer in time, and was ended."""


def python(module: str) -> list[str]:
    """The command that runs a module with this interpreter, without the current folder on its path."""
    return [sys.executable, "-P", "-m", module]


class Child:
    """One child process and what it starts. A context manager: leaving it ends them, also after Ctrl-C.

    Parameters
    ----------
    command : sequence of str
    environment : variables that are set beside those of this process
    folder : its working directory; None: that of this process
    name : what messages call it

    Attributes
    ----------
    left_running : list of str
        Processes that it left in sessions of their own: ended, and named here. Found on Linux only.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, folder: str | None = None,
        name: str = "the process",
    ) -> None:  # fmt: skip
        self._command, self._folder, self.name = list(command), folder, name
        self._mark, self._asked = secrets.token_hex(8), 0
        self._environment = dict(environment or {}) | {MARK: f"{os.environ.get(MARK, '')}/{self._mark}"}
        self.left_running: list[str] = []
        self._printed, self._read = b"", 0
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
        Died : the process ended
        Garbled : what it wrote is no answer
        """
        process = self._process or self._start()
        self._asked += 1
        envelope = {"number": self._asked, "seconds": seconds, "request": request}
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
                process.stdin.write(encode(envelope))
                process.stdin.flush()
            answer = read(process.stdout)
        except EOFError:
            answer = None
        except ValueError as error:
            self._garbled(str(error))
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            self.close()
            raise Hung(f"no answer within {seconds:g} s; the process was ended")
        if answer is None:
            raise Died(self._end())
        if answer.pop("number", None) != self._asked or "ok" not in answer:
            self._garbled(str(answer)[:80])
        return answer

    def printed(self) -> str:
        """What the process wrote to stdout and stderr since this was last called."""
        self._gather()
        text, self._printed = self._printed.decode(errors="replace").strip(), b""
        return text

    def _gather(self) -> None:
        """Read on where the last reading ended; the process shares the file's own offset and writes by it."""
        if self._stderr is not None and not self._stderr.closed:
            new = os.pread(self._stderr.fileno(), PRINTED, self._read)
            self._read, self._printed = self._read + len(new), self._printed + new

    def _garbled(self, what: str) -> NoReturn:
        self.close()
        raise Garbled(
            f"{self.name} answered {what}, which is no answer: some of its code writes to a file descriptor "
            "that it did not open (write to stdout or stderr, or to files of its own)"
        )

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        self._kill(process)
        process.wait()
        self.left_running += end_marked(self._mark, process.pid)
        self._gather()
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
        self._read = 0
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
    """In the child: answer requests until the other end closes, which ends this process at once."""
    with contextlib.suppress(OSError):
        KILLED_FIRST.write_text("1000")
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # what reads stdin takes no request away
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    while True:
        envelope = waiting.get()
        number, seconds = {"number": envelope["number"]}, envelope["seconds"]
        if seconds is not None:  # a timer that needs no interpreter
            faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=2)
        try:
            frame = encode({"ok": True} | answer(envelope["request"]) | number)
        except (Exception, SystemExit) as error:
            told = {"message": in_words(error), "traceback": "".join(traceback.format_exception(error))}
            frame = encode({"ok": False, "kind": "raised"} | told | number)
        faulthandler.cancel_dump_traceback_later()
        try:
            answers.write(frame)
            answers.flush()
        except OSError as error:
            _last_words(
                f"s5ref: an answer cannot be written, a file descriptor of s5ref's was closed: {error}"
            )
            os._exit(1)


def _last_words(words: str) -> None:
    """A line on stderr, from which the parent says how this process ended."""
    with contextlib.suppress(OSError):
        os.write(2, f"{words}\n".encode())


def _listen(requests: IO[bytes], waiting: queue.SimpleQueue[Message]) -> None:
    """Pass requests on; when the other end closes, end this process and all that it started."""
    try:
        while True:
            waiting.put(read(requests))
    except EOFError:
        with contextlib.suppress(Exception):  # no groups of processes, or not started by a `Child`
            end_marked(os.environ[MARK].rpartition("/")[2], os.getpid())
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
    except Exception as error:  # the parent is there, and sees to the rest
        _last_words(f"s5ref: a request cannot be read: {in_words(error.__cause__ or error)}")
    finally:
        os._exit(1)


def end_marked(mark: str, group: int) -> list[str]:
    """End the processes that have the mark in their environment and are not of this group; what they are.

    Without /proc none is found.
    """
    ended: dict[int, str] = {}
    for _ in range(100):  # one that is found may have started another meanwhile
        found = [pid for pid in _marked(mark, group) if pid not in ended]
        for pid in found:
            ended[pid] = f"{_command(pid)} (process {pid})"
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError as error:
                ended[pid] += f", which cannot be ended: {error}"
        if not found:
            break
    return list(ended.values())


def _marked(mark: str, group: int) -> Iterator[int]:
    """Processes by their environment, without those of the group and those that may not be looked at."""
    variable = f"{MARK}=".encode()
    with contextlib.suppress(OSError):
        for folder in PROC.iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError, IndexError):  # it ended meanwhile
                environment = (folder / "environ").read_bytes().split(b"\0")
                if any(word.startswith(variable) and mark.encode() in word for word in environment):
                    _, _, after_name = (folder / "stat").read_bytes().rpartition(b")")
                    if int(after_name.split()[2]) != group:  # after state and parent
                        yield int(folder.name)


def _command(pid: int) -> str:
    """The first words of its command line."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a process"
    return b" ".join(words).decode(errors="replace").strip()[:60]


def limits_memory() -> bool:
    """Whether this system bounds the memory of a process: only Linux counts all that it maps to write."""
    return sys.platform == "linux" and importlib.util.find_spec("resource") is not None


def limit_memory(size: int) -> None:
    """Bound the memory of this process, and of each that it starts: an allocation beyond it fails."""
    import resource  # there is none on Windows

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bounded = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bounded, hard))


def encode(message: Any) -> bytes:
    """A tree of dicts, lists, tuples (which become lists), arrays and plain values as bytes. An array in the
    order of Fortran stays in it.
    """
    arrays: list[bytes] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            order: Any = "F" if value.flags.fnc else "C"
            arrays.append(value.tobytes(order))
            return {ARRAY: [value.dtype.str, list(value.shape), order]}
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
    line = stream.readline(LINE)
    if not line.endswith(b"\n") and len(line) < LINE:
        raise EOFError("the other end closed the pipe")

    def array(value: Message) -> Any:  # called in the order in which the objects of the line end
        if ARRAY not in value:
            return value
        dtype, shape, order = np.dtype(value[ARRAY][0]), tuple(value[ARRAY][1]), value[ARRAY][2]
        data = bytearray(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        if stream.readinto(data) < len(data):  # type: ignore[attr-defined]
            raise EOFError("the other end closed the pipe")
        return np.frombuffer(data, dtype).reshape(shape, order=order)

    shown = repr(line[:200].decode(errors="replace").strip()[:80])
    try:
        message = json.loads(line, object_hook=array)
    except EOFError:
        raise
    except Exception as error:  # not JSON, or an array of no dtype, shape or size that there can be
        raise ValueError(shown) from error
    if not isinstance(message, dict):
        raise ValueError(shown)
    return message


def in_words(error: BaseException) -> str:
    """The type and the first line of what was raised."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
