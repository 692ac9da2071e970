"""Training, evaluation and checks where the system offers less than Linux does, as macOS and Windows do.

Hidden from every process, its children included: the files below /proc and /sys, the modules resource, fcntl
and termios, os.killpg and os.sched_getaffinity. Left is /proc/self/maps: on Linux threadpoolctl finds
libraries there, elsewhere by other means.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HIDING = """
import os, sys

def hide(event, args):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], (str, bytes, os.PathLike)):
        path = os.fsdecode(args[0])
        if path.startswith(("/proc", "/sys/")) and path != "/proc/self/maps":
            raise FileNotFoundError(2, "hidden", path)

sys.addaudithook(hide)
for module in ("resource", "fcntl", "termios"):
    sys.modules[module] = None
for name in ("killpg", "sched_getaffinity"):
    delattr(os, name)
"""
TINY = [
    "--set", "model.n_layers=1", "model.d_model=6", "model.ssm_size=4", "model.blocks=1", "train.batch=300",
]  # fmt: skip

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Python:
    """Runs this Python on arguments in a fresh folder, as on such a system; it must succeed."""
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hiding"), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_it_is_hidden(python: Python) -> None:
    program = (
        "import os, pathlib\n"
        "for look in (lambda: open('/proc/cpuinfo'), pathlib.Path('/proc/self/status').read_text,\n"
        "             lambda: os.listdir('/proc'), lambda: __import__('resource'),\n"
        "             lambda: os.killpg, lambda: os.sched_getaffinity):\n"
        "    try: look()\n"
        "    except (OSError, ImportError, AttributeError): continue\n"
        "    raise SystemExit('found')\n"
    )
    python("-c", program)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_digits_train_and_evaluate(python: Python, engine: str) -> None:
    train = ["train", "digits", "--engine", engine, "--steps", "3", "--out", "run", "--json", *TINY]
    assert json.loads(python("-m", "s5ref", *train).stdout)["steps"] == 3
    assert json.loads(Path("run/environment.json").read_text())["cores"] == os.cpu_count()
    python("-m", "s5ref", "train", "--resume", "--out", "run", "--engine", engine, "--steps", "4")
    python("-m", "s5ref", "eval", "run", "--checkpoint", "last", "--engine", engine)


def test_doctor_and_check(python: Python) -> None:
    """`check` starts the candidate in a process of its own, and ends it."""
    python("-m", "s5ref", "doctor", "--json")
    found = json.loads(python("-m", "s5ref", "check", "numpy", "--only", "scan/*", "--json").stdout)
    assert found["verdict"] == "agrees"


def test_peak_memory_is_unknown(python: Python) -> None:
    program = "from s5ref.bench.child import peak_bytes; print(peak_bytes())"
    assert python("-c", program).stdout.strip() == "None"
