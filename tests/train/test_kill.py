"""kill −9 at random moments: nothing is lost, nothing is there twice, every bit is as without the kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from s5ref.train.config import RunConfig

CHILD = Path(__file__).with_name("child.py")
SLACK = 60.0
KILLS = 10  # of a run


def _start(toml: Path, run: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(CHILD), str(toml), str(run)], env=environment)


def _kill_until_done(toml: Path, run: Path, seed: int, seconds: float) -> None:
    """Start the run again and again; end it KILLS times, each after a random part of its time."""
    rng = random.Random(seed)
    for _ in range(KILLS):
        child = _start(toml, run)
        time.sleep(rng.uniform(0.3, seconds / 2))
        child.send_signal(signal.SIGKILL)
        child.wait(SLACK)
    assert _start(toml, run).wait(SLACK) == 0


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_minus_nine(
    rounds: int, config: RunConfig, tmp_path: Path, same: Callable[[Path, Path], None]
) -> None:
    config = config.override(["train.batch=120", "train.epochs=8", "train.checkpoint_seconds=0.05"])
    toml = tmp_path / "config.toml"
    toml.write_text(config.to_toml(), encoding="utf-8")
    whole = tmp_path / "whole"
    began = time.monotonic()
    assert _start(toml, whole).wait(SLACK) == 0
    seconds = time.monotonic() - began
    for seed in range(rounds):
        run = tmp_path / f"killed-{seed}"
        _kill_until_done(toml, run, seed, seconds)
        same(whole, run)


def test_sigterm_ends_the_process_in_order(config: RunConfig, tmp_path: Path) -> None:
    toml = tmp_path / "config.toml"
    toml.write_text(config.override(["train.epochs=400"]).to_toml(), encoding="utf-8")
    child = _start(toml, tmp_path / "run")
    deadline = time.monotonic() + SLACK
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(SLACK) == 143
