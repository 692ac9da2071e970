"""The host of child processes: messages come back as they were; time-outs, deaths, what a child started."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import alive, appeared, ended

from s5ref import process
from s5ref.process import Child, Died, Garbled, Hung, encode, read

SERVER = """
import ctypes, os, subprocess, sys, time
from s5ref import process
from s5ref.process import serve

process.GRACE = 0.5

def started(**options):
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **options).pid

def tell(*pids):
    open("new", "w").write(" ".join(map(str, pids)))
    os.replace("new", "pids")

def answer(request):
    if request["op"] == "pid":
        return {"pid": os.getpid()}
    if request["op"] == "sleep":
        tell(os.getpid(), started())
        time.sleep(600)
    if request["op"] == "spin":
        tell(os.getpid(), started(), started(start_new_session=True))
        while True:
            pass
    if request["op"] == "hold":
        tell(os.getpid())
        ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock
    if request["op"] == "leave":
        return {"pid": started(start_new_session=True)}
    if request["op"] == "write":
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, request["bytes"].encode("latin1"))
            except OSError:
                pass
    if request["op"] == "close":
        os.closerange(3, 20)
    if request["op"] == "limit":
        process.limit_memory(2**28)
    if request["op"] == "stdin":
        return {"read": sys.stdin.read()}
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
TESTS = str(Path(__file__).parent / "helpers")
LINUX = sys.platform == "linux"
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
        raised = child.ask({"op": "raise"})
        assert raised.pop("traceback").rstrip().endswith("MemoryError: no 7 GiB left\nand more")
        assert raised == {"ok": False, "kind": "raised", "message": "MemoryError: no 7 GiB left"}
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
    assert ended(*appeared(tmp_path / "pids"))


@POSIX
@pytest.mark.parametrize(
    "op", ["spin", pytest.param("hold", marks=pytest.mark.skipif(os.name == "nt", reason="PyDLL(None)"))]
)
def test_a_child_ends_with_its_parent(tmp_path: Path, op: str) -> None:
    """The parent is killed; the child computes, or holds the interpreter's lock past its time limit."""
    command = [sys.executable, "-c", SERVER]
    program = f"from s5ref.process import Child; Child({command!r}).ask({{'op': {op!r}}}, 3)"
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    pids = appeared(tmp_path / "pids")
    parent.kill()
    parent.wait()
    assert ended(*(pids if LINUX else pids[:2]))


@pytest.mark.skipif(not LINUX, reason="processes are found by their environment in /proc")
def test_what_a_child_leaves_in_a_session_of_its_own_is_ended_and_named(child: Child) -> None:
    with child:
        pid = child.ask({"op": "leave"})["pid"]
    [words] = child.left_running
    assert words.startswith(sys.executable)
    assert words.endswith(f"(process {pid})")
    assert ended(pid)


@POSIX
def test_without_proc_it_is_neither_found_nor_named(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PROC", tmp_path / "none")
    with child:
        pid = child.ask({"op": "leave"})["pid"]
    assert child.left_running == []
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "written",
    [
        "junk\n", "\xff\xfe\x00\n", "[1]\n", "[" * 100_000 + "\n", '{"__array__": ["O", [3]]}\n',
        '{"__array__": ["q9", [3]]}\n', '{"__array__": ["<f8", [1000000000000000]]}\n',
        '{"__array__": ["<f8", [-1]]}\n', '{"__array__": 3}\n', '{"ok": true}\n', '{"ok": false}\n',
        '{"ok": true, "number": 7}\n', "no end of a line ",
    ],
)  # fmt: skip
def test_what_is_written_to_the_pipe_of_the_answers_is_named(child: Child, written: str) -> None:
    child.name = "mine:S5"
    with child:
        with pytest.raises(
            Garbled, match=r"mine:S5 answered .*, which is no answer: .*write to std"
        ) as caught:
            child.ask({"op": "write", "bytes": written}, 20)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 300
        assert child.ask({"op": "echo"})["ok"]


def test_a_line_without_an_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LINE", 2**10)
    with pytest.raises(ValueError, match="xxxx"):
        read(io.BytesIO(b"x" * 2**12))


def test_reading_stdin_takes_no_request_away(child: Child) -> None:
    with child:
        assert child.ask({"op": "stdin"}, 20)["read"] == ""
        assert child.ask({"op": "echo"}, 20)["ok"]


def test_a_child_that_closes_every_descriptor_says_so(child: Child) -> None:
    with child, pytest.raises(Died, match=r"exit code 1: s5ref: an? (answer|request) cannot be"):
        child.ask({"op": "close"}, 20)


@pytest.mark.skipif(not LINUX, reason="memory is bounded on Linux")
def test_a_request_that_does_not_fit_says_so(child: Child) -> None:
    with child:
        assert child.ask({"op": "limit"})["ok"]
        with pytest.raises(Died, match="exit code 1: s5ref: a request cannot be read: MemoryError"):
            child.ask({"op": "echo", "x": np.zeros(2**28 + 2**20, np.uint8)}, 20)


def test_without_the_module_resource_memory_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.limits_memory() == LINUX
    monkeypatch.setitem(sys.modules, "resource", None)
    assert not process.limits_memory()


def test_no_module_of_the_current_folder_is_taken_for_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('of the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", TESTS)
    with Child(process.python("fake_host")) as child:
        assert child.ask({"op": "any"}) == {"ok": True, "version": np.__version__}


@POSIX
def test_a_child_that_does_not_read_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Child(command) as child, pytest.raises(Hung):
        child.ask({"x": np.zeros(2**20)}, 2)  # more than a pipe holds


def test_an_array_keeps_its_order_in_memory() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    sent = {"C": rows, "F": np.asfortranarray(rows), "strided": rows[:, ::2], "scalar": np.float32(2)}
    got = read(io.BytesIO(encode(sent)))
    for name, x in sent.items():
        np.testing.assert_array_equal(got[name], x)
    assert got["F"].flags.fnc
    assert got["C"].flags.c_contiguous


def test_a_message_that_is_cut_off() -> None:
    whole = encode({"x": np.arange(4)})
    for end in (0, 5, len(whole) - 1):
        with pytest.raises(EOFError):
            read(io.BytesIO(whole[:end]))
    np.testing.assert_array_equal(read(io.BytesIO(whole))["x"], np.arange(4))
