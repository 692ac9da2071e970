"""kill −9 at random moments: nothing is lost, nothing is there twice, every bit is as without the kills."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s5ref import NUMPY
from s5ref.data.batches import Dataset
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit

CHILD = Path(__file__).with_name("child.py")
SLACK = 60.0
KILLS = 10  # of a run
FORK = multiprocessing.get_context("fork")  # all is imported already: what is killed trains


def _start(config: RunConfig, data: Dataset, run: Path) -> Any:
    resume = (run / "config.toml").exists()
    how = {"engine": NUMPY, "seed": 1, "resume": resume}
    process = FORK.Process(target=fit, args=(config, data, run), kwargs=how)
    process.start()
    return process


def _whole(config: RunConfig, data: Dataset, run: Path) -> None:
    process = _start(config, data, run)
    process.join(SLACK)
    assert process.exitcode == 0


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_minus_nine(
    rounds: int, config: RunConfig, digits: Dataset, tmp_path: Path, same: Callable[[Path, Path], None]
) -> None:
    """Runs that are started again and again, and end KILLS times, each after a random time."""
    config = config.override(["train.epochs=10", "train.checkpoint_seconds=0.02"])
    whole = tmp_path / "whole"
    began = time.monotonic()
    _whole(config, digits, whole)
    seconds, killed = time.monotonic() - began, 0
    for seed in range(rounds):
        run, rng = tmp_path / f"killed-{seed}", random.Random(seed)
        for _ in range(KILLS):
            process = _start(config, digits, run)
            time.sleep(rng.uniform(0, 2 * seconds / KILLS))
            process.kill()
            process.join(SLACK)
            killed += process.exitcode == -signal.SIGKILL
        _whole(config, digits, run)
        same(whole, run)
    assert killed >= 2 * rounds  # not all had ended before


def test_sigterm_ends_the_process_in_order(config: RunConfig, tmp_path: Path) -> None:
    toml = tmp_path / "config.toml"
    toml.write_text(config.override(["train.epochs=400"]).to_toml(), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, str(CHILD), str(toml), str(tmp_path / "run")], env=environment)
    deadline = time.monotonic() + SLACK
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(SLACK) == 143
