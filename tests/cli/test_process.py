"""What needs a process of its own: signals, closed pipes, terminals, start-up time, ``python -m s5ref``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

S5REF = [sys.executable, "-m", "s5ref"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and terminals of POSIX")
LONG = ["train", "digits", "--engine", "numpy", "--out", "run"]
LONGER = ["train.batch=20", "train.epochs=1000"]


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*S5REF, *argv], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["train", "--help"]])
def test_words_come_at_once_and_load_no_engine(argv: list[str]) -> None:
    code = f"import sys; from s5ref.cli.main import main; main({argv!r}); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "s5ref.cli.main" in loaded
    assert not loaded & {
        "numba",
        "scipy",
        "rich",
        "cupy",
        "matplotlib",
        "s5ref.cpu",
        "s5ref.train.loop",
        "s5ref.gpu",
    }


def test_start_is_fast() -> None:
    def seconds() -> float:  # of the processor: a busy machine makes the start late, not slow
        before = os.times()
        assert _run("--version").stdout.startswith("s5ref ")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


def _begin(settings: list[str], *argv: str) -> subprocess.Popen[str]:
    """Training that has made its first steps."""
    process = subprocess.Popen(
        [*S5REF, *LONG, *settings, *LONGER, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (Path("run/metrics.jsonl").exists() and Path("run/best/state.npz").exists()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(settings: list[str], number: signal.Signals, code: int) -> None:
    process = _begin(settings, "--json")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    result = json.loads(out)
    assert result["interrupted"] == number
    assert "s5ref train --resume --out run" in err
    more = result["steps"] + 2
    resumed = _run("train", "--resume", "--out", "run", "--steps", str(more), "--json")
    assert resumed.returncode == 0
    assert json.loads(resumed.stdout)["steps"] == more


@POSIX
def test_what_is_said_after_an_interrupt(settings: list[str]) -> None:
    process = _begin(settings, "--steps", "1000000")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "s5ref train --resume --out run --steps 1000000\n" in out


@POSIX
def test_one_training_process_a_run_folder(settings: list[str]) -> None:
    process = _begin(settings)
    try:
        for argv in (["--resume"], ["digits"], ["digits", "--seeds", "0,1"]):
            refused = _run("train", *argv, "--out", "run", "--json")
            assert refused.returncode == 2
            assert f"process {process.pid} on " in json.loads(refused.stdout)["error"]["message"]
        assert _run("eval", "run", "--engine", "numpy").returncode == 0
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert _run("train", "--resume", "--out", "run", "--steps", "1").returncode == 0


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_outside_training(number: signal.Signals, code: int) -> None:
    program = (
        "import os, sys; from s5ref.cli import recipes; from s5ref.cli.main import main\n"
        f"recipes.run = lambda *_: os.kill(os.getpid(), {int(number)}) or __import__('time').sleep(30)\n"
        "sys.exit(main(['recipes', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert json.loads(done.stdout) == {"interrupted": number}


@POSIX
@pytest.mark.parametrize("argv", [["recipes"], ["recipes", "--json"], ["recipes", "digits"]])
def test_nobody_reads(argv: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*S5REF, *argv], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@POSIX
def test_a_closed_stdout_and_a_full_disk() -> None:
    line = " ".join(f"'{word}'" for word in [*S5REF, "recipes"])
    closed = subprocess.run(f"{line} >&-", shell=True, capture_output=True, text=True, timeout=60)
    assert (closed.returncode, closed.stderr) == (0, "")
    if Path("/dev/full").exists():
        full = subprocess.run(
            f"{line} --json >/dev/full", shell=True, capture_output=True, text=True, timeout=60
        )
        assert full.returncode == 2
        assert "No space left" in full.stderr


def test_a_terminal_without_our_letters() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*S5REF, "recipes"], capture_output=True, timeout=60, env=environment)
    assert done.returncode == 0
    assert b"Digits 8?8" in done.stdout


def _in_terminal(width: int, *argv: str) -> str:
    """What the command writes to a terminal of that width."""
    import fcntl
    import pty
    import struct
    import termios

    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    process = subprocess.Popen(
        [*S5REF, *argv], stdin=terminal, stdout=terminal, stderr=terminal, env=environment | {"TERM": "xterm"}
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(main)
    assert process.wait(timeout=60) == 0
    return written.decode(errors="replace")


@POSIX
@pytest.mark.parametrize("width", [120, 40])
def test_live_progress_on_a_terminal(settings: list[str], width: int) -> None:
    longer = ["--set", "train.batch=10"]  # an epoch, than the time between two drawings of the line
    shown = _in_terminal(width, "train", "digits", "--engine", "numpy", "--out", "run", *settings, *longer)
    assert "epoch " in shown
    assert "\x1b[2K" in shown  # the line is rewritten
    assert "ETA" in shown
    assert bool(re.search(r"loss \d\.\d+  validation", shown)) == (width >= 90)  # what there is room for
    assert "test accuracy" in shown


@POSIX
def test_tables_stay_readable_on_a_narrow_terminal() -> None:
    shown = _in_terminal(40, "recipes")
    assert " speech35     Speech Commands 35 " in shown
