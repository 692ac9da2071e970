"""The conversation with a peer's process: turns, and every way in which it can go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_peers import TESTS, peer

from s5ref.bench.process import Failed, PeerProcess
from s5ref.bench.race import Repetitions, race

FEW = Repetitions(3, 3, 0.0)


def test_peers_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, second = race([peer("fine", log), peer("talks", log)], None, "x", FEW)
    order = [line.split()[0] for line in log.read_text().splitlines()]
    turns = ["fine", "fine", "talks", "talks"] * 3  # of every turn the second repetition counts
    assert order == ["fine", "talks", *turns]  # the first call of each before
    for times in (first, second):
        assert times.error == ""
        assert len(times.seconds) == 3
        assert 0.002 <= times.best <= times.median  # type: ignore[operator]
        assert times.first is not None
        assert times.first >= 0.002
        assert times.compile is not None
        assert times.compile >= 0


def test_a_repetition_may_be_the_median_of_many_calls(tmp_path: Path) -> None:
    log = tmp_path / "log"
    race([peer("thrice", log)], None, "x", Repetitions(1, 1, 0.0))
    assert len(log.read_text().splitlines()) == 1 + 2 * 3


def test_repetitions_end_by_time_only_after_the_least() -> None:
    [times] = race([peer("fine")], None, "x", Repetitions(2, 50, 0.0))
    assert len(times.seconds) == 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exits", "exit code 3"),
        ("killed", "SIGKILL (out of memory?)"),
        ("raises", "MemoryError: no 7 GiB left"),
        ("unbuilt", "ValueError: no such thing"),
    ],
)
def test_one_that_fails_is_out_and_the_other_goes_on(how: str, words: str) -> None:
    bad, good = race([peer(how), peer("fine")], None, "x", FEW)
    assert words in bad.error
    assert (bad.median, bad.best, bad.bytes, bad.compile) == (None, None, None, None)
    assert (good.error, len(good.seconds)) == ("", 3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("hello", "'hello', which is no answer"),
        ("[1]", "which is no answer"),
        ('{"ok": true}', "the peer fake answered {'ok': True}, which is no answer"),
        ('{"ok": true, "number": 1}', "first_s = None"),
        ('{"ok": true, "number": 1, "first_s": -1.0}', "first_s = -1.0"),
        ('{"ok": true, "number": 1, "first_s": NaN}', "first_s = nan"),
        ('{"ok": false, "number": 1}', "no reason given"),
    ],
)
def test_an_answer_that_is_none(answer: str, words: str) -> None:
    command = [sys.executable, "-c", f"import time; print({answer!r}, flush=True); time.sleep(60)"]
    with (
        PeerProcess(peer("fine"), command) as child,
        pytest.raises(Failed, match=r"answered|reason") as caught,
    ):
        child.build(None, "x")
    assert words in str(caught.value)


def test_a_process_that_dies_at_once_says_why() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such library')"]
    with (
        PeerProcess(peer("fine"), command) as child,
        pytest.raises(Failed, match="exit code 1: no such library"),
    ):
        child.build(None, "x")


def test_values_come_back_whole() -> None:
    with PeerProcess(peer("fine")) as child:
        child.build(None, "x")
        np.testing.assert_array_equal(child.values()["grad.B"], [1.0, 2.0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="ru_maxrss inherits only on Linux")
def test_the_memory_of_the_parent_is_not_the_child_s() -> None:
    ballast = np.ones(60_000_000)  # 480 MB, touched
    [times] = race([peer("fine")], None, "x", FEW)
    assert times.bytes is not None
    assert 10e6 < times.bytes < 300e6 < ballast.nbytes


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_the_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "from pathlib import Path; from fake_peers import peer; from s5ref.bench.race import *\n"
        f"race([peer('hangs', Path({str(log)!r}))] * 2, None, 'x', Repetitions(9, 9, 0.0))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": TESTS}, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 4:  # the first of the two hangs
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all of the group
    _, err = parent.communicate(timeout=30)
    assert b"KeyboardInterrupt" in err
    for pid in {int(line.split()[1]) for line in log.read_text().splitlines()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
