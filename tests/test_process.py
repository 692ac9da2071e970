"""The host of child processes: messages come back as they were; time-outs, deaths, what a child started."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.process import Child, Died, Hung, encode, read

SERVER = """
import os, subprocess, sys, time
from s5ref.process import serve

def answer(request):
    if request["op"] == "pid":
        return {"pid": os.getpid()}
    if request["op"] == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("pids", "w").write(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if request["op"] == "print":
        print("to stdout")
        os.write(1, b"below Python\\n")
        print("last words", file=sys.stderr)
    if request["op"] == "exit":
        os._exit(3)
    if request["op"] == "raise":
        raise MemoryError("no 7 GiB left\\nand more")
    if request["op"] == "unwritable":
        return {"x": 1j}
    return request

serve(answer)
"""
POSIX = pytest.mark.skipif(not hasattr(os, "killpg"), reason="groups of processes of POSIX")


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child([sys.executable, "-c", SERVER], folder=str(tmp_path))


def test_a_message_comes_back_as_it_was(child: Child) -> None:
    sent: dict[str, Any] = {
        "op": "echo", "z": np.array([[1 / 3 - 2e-310j, complex(0, -0.0)]]), "empty": np.zeros((0, 3), "f4"),
        "scalar": np.float64(np.nan), "n": np.arange(3)[::-1], "none": None, "text": "Λ̄\n",
        "tree": [{"x": np.float32(0.1)}, (1, True, 2.5)], "large": np.arange(2**18),
    }  # fmt: skip
    with child:
        found = child.ask(sent)
    assert list(found) == ["ok", *sent]
    for name in ("z", "empty", "scalar", "n", "large"):
        np.testing.assert_array_equal(found[name], sent[name])
        assert (found[name].dtype, found[name].shape) == (np.asarray(sent[name]).dtype, np.shape(sent[name]))
        assert found[name].flags.writeable
    assert np.signbit(found["z"][0, 1].imag)
    assert found["tree"] == [{"x": np.float32(0.1)}, [1, True, 2.5]]
    assert (found["none"], found["text"]) == (None, "Λ̄\n")


def test_what_a_child_raises_is_an_answer_and_what_it_prints_is_none(child: Child) -> None:
    with child:
        assert child.ask({"op": "raise"}) == {
            "ok": False, "kind": "raised", "message": "MemoryError: no 7 GiB left"
        }  # fmt: skip
        assert child.ask({"op": "print"})["ok"]
        assert "TypeError" in child.ask({"op": "unwritable"})["message"]
        with pytest.raises(Died, match="the process ended with exit code 3: last words"):
            child.ask({"op": "exit"})


def test_a_child_that_died_is_replaced(child: Child) -> None:
    with child:
        first = child.ask({"op": "pid"})["pid"]
        assert child.ask({"op": "pid"})["pid"] == first
        with pytest.raises(Died):
            child.ask({"op": "exit"})
        assert not child.running
        assert child.ask({"op": "pid"})["pid"] != first


@POSIX
def test_a_child_that_hangs_is_ended_with_all_that_it_started(child: Child, tmp_path: Path) -> None:
    with child, pytest.raises(Hung, match="no answer within 3 s; the process was ended"):
        child.ask({"op": "sleep"}, 3)
    parent, started = map(int, (tmp_path / "pids").read_text().split())
    deadline = time.monotonic() + 10
    for pid in (parent, started):
        while _alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@POSIX
def test_a_child_that_does_not_read_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Child(command) as child, pytest.raises(Hung):
        child.ask({"x": np.zeros(2**20)}, 2)  # more than a pipe holds


def test_a_message_that_is_cut_off() -> None:
    whole = encode({"x": np.arange(4)})
    for end in (0, 5, len(whole) - 1):
        with pytest.raises(EOFError):
            read(io.BytesIO(whole[:end]))
    np.testing.assert_array_equal(read(io.BytesIO(whole))["x"], np.arange(4))


def _alive(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
