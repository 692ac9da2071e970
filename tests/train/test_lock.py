"""A run folder has one training process at a time; who comes second is told who trains there."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, ConfigError, Model
from s5ref.data.batches import Dataset
from s5ref.data.digits import load
from s5ref.train import runs
from s5ref.train.api import train
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.results import Progress
from s5ref.train.seeds import fit_seeds

CHILD = Path(__file__).with_name("child.py")
HERE = re.escape(f"process {os.getpid()} on {platform.node()}")


def test_the_second_process_is_refused_until_the_first_is_dead(config: RunConfig, tmp_path: Path) -> None:
    config = config.override(["train.batch=120", "train.epochs=4000", "train.checkpoint_seconds=0.05"])
    toml, run = tmp_path / "config.toml", tmp_path / "run"
    toml.write_text(config.to_toml(), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, str(CHILD), str(toml), str(run)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not runs.checkpoint_path(run, "best").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        data, holder = load(), re.escape(f"process {child.pid} on {platform.node()}")
        for resume in (True, False):
            began = time.monotonic()
            with pytest.raises(ConfigError, match=holder) as caught:
                fit(config, data, run, engine=NUMPY, resume=resume)
            assert time.monotonic() - began < 1
            assert f"kill {child.pid}" in caught.value.remedy
        assert runs.load(run).step > 0
        assert child.poll() is None
    finally:
        child.kill()
        child.wait(60)
    (run / "last" / ".state.npz.tmp-0123").write_bytes(b"half")
    step = runs.load(run, "last").step + 1
    assert fit(config, data, run, engine=NUMPY, resume=True, stop_after=step).steps >= step
    assert [path.name for path in (run / "last").iterdir()] == ["state.npz"]


def test_every_way_to_train_holds_the_folder(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    refused: list[str] = []

    def again(run: Path, folder: Path) -> None:
        """Begin once more in the folder, after the first update of the run."""
        if folder.name not in refused:
            with pytest.raises(ConfigError, match=HERE):
                fit(config, digits, folder, engine=NUMPY, resume=True)
            with pytest.raises(ConfigError, match=HERE):
                fit_seeds(config, digits, run, [0, 1], engine=NUMPY)
            refused.append(folder.name)

    def of_seed(seed: int, _: Progress) -> None:
        again(tmp_path / "many", tmp_path / "many" / f"seed-{seed}")

    fit_seeds(config, digits, tmp_path / "many", [0, 1], engine=NUMPY, stop_after=1, report=of_seed)
    x: Any = np.zeros((30, 4, 1), np.float32)
    arrays = {"train": (x, np.arange(30) % 10), "validation": (x, np.arange(30) % 10)}
    short = config.override(["train.epochs=1"])
    one = tmp_path / "one"
    train(Model(config.model), arrays, short, run=one, engine=NUMPY, callbacks=[lambda _: again(one, one)])
    assert refused == ["seed-0", "seed-1", "one"]


def test_a_folder_that_cannot_be_made_is_refused(config: RunConfig, digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="/proc/x must be one that can be made"):
        fit(config, digits, "/proc/x", engine=NUMPY)
