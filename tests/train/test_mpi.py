"""Real processes of MPI: they train what one does, and whatever happens to one, all end and say so."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from needs import mpirun

from s5ref.train import checkpoint, runs

pytestmark = pytest.mark.mpi
TINY = [
    "--engine",
    "numpy",
    "--set",
    "model.n_layers=2",
    "model.d_model=8",
    "model.ssm_size=8",
    "model.blocks=1",
]
LONG = [*TINY, "train.epochs=1000", "train.checkpoint_seconds=0.05"]
PATIENCE, END = 10, 300  # seconds: of a rank that waits for one that is stopped; until all must have ended
API = Path(__file__).with_name("mpi_child.py")


def start(ranks: int, *words: str, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"S5REF_RANK_TIMEOUT": str(END), "OPENBLAS_NUM_THREADS": "1"} | variables
    command = [str(mpirun()), "-n", str(ranks), *words]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def train(ranks: int, out: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    words = sys.executable, "-P", "-m", "s5ref", "train", "digits", "--out", str(out)
    return start(ranks, *words, *options, **variables)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=END)
    return process.returncode, out, err


def processes(process: subprocess.Popen[str], run: Path, steps: int) -> list[int]:
    """The processes of the ranks, once they have trained for ``steps`` updates."""
    until = time.monotonic() + END
    while time.monotonic() < until and process.poll() is None:
        metrics = run / "metrics.jsonl"
        if metrics.exists() and metrics.read_text().count('"step"') >= steps:
            break
        time.sleep(0.02)
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith("ranks: "))
    return [int(pid) for pid in re.findall(r"process (\d+) on", line)]


def test_two_ranks_train_what_one_does(tmp_path: Path) -> None:
    one, two, again = (tmp_path / name for name in ("one", "two", "again"))
    code, out, err = ended(train(2, two, *TINY, "--steps", "30", "--json"))
    assert code == 0, err
    assert len(out.splitlines()) == 1  # one of them speaks
    assert err.count("run folder") == 1
    assert ended(train(2, again, *TINY, "--steps", "30"))[0] == 0
    assert ended(train(1, one, *TINY, "--steps", "30"))[0] == 0
    found = json.loads((one / "result.json").read_text())
    assert json.loads(out)["test_accuracy"] == found["test_accuracy"]
    assert json.loads(out)["test_loss"] == pytest.approx(found["test_loss"], rel=1e-4)  # single precision
    first, second = (checkpoint.load(runs.checkpoint_path(run, "last"))[0] for run in (two, again))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_sequence_shared(tmp_path: Path) -> None:
    one, four = tmp_path / "one", tmp_path / "four"
    code, _, err = ended(train(4, four, *TINY, "--steps", "10", "--sequence-ranks", "2"))
    assert code == 0, err
    assert ended(train(1, one, *TINY, "--steps", "10"))[0] == 0
    a, b = (json.loads((run / "result.json").read_text()) for run in (one, four))
    assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-4)


def test_stopped_by_a_signal_and_resumed_by_another_number(tmp_path: Path) -> None:
    process = train(3, tmp_path, *LONG)
    os.kill(processes(process, tmp_path, 5)[1], signal.SIGTERM)
    code, out, _ = ended(process)
    assert code == 143
    assert "stopped by SIGTERM" in out
    step = runs.load(tmp_path, "last").step
    code, _, err = ended(train(2, tmp_path, "--engine", "numpy", "--resume", "--steps", str(step + 5)))
    assert code == 0, err
    assert runs.load(tmp_path, "last").step == step + 5


@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_does_not_answer_is_named(rank: int, tmp_path: Path) -> None:
    process = train(3, tmp_path, *LONG, S5REF_RANK_TIMEOUT=str(PATIENCE))
    pids = processes(process, tmp_path, 5)
    os.kill(pids[rank], signal.SIGSTOP)
    began = time.monotonic()
    code, _, err = ended(process)
    assert code != 0
    assert time.monotonic() - began < PATIENCE + 40
    told = [line for line in err.splitlines() if line.startswith("s5ref: ")]
    assert len(told) == 1
    assert f"silent: rank {rank} (process {pids[rank]} on " in told[0]
    resumed(tmp_path)


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed(kills: int, tmp_path: Path) -> None:
    """The launcher ends them all and says which process it was; the next run goes on."""
    rng = random.Random(0)
    for kill in range(kills):
        process = train(2, tmp_path, *(["--engine", "numpy", "--resume"] if kill else LONG))
        before = runs.load(tmp_path, "last").step if kill else 0
        pids = processes(process, tmp_path, before + 3)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(pids[rng.randrange(2)], signal.SIGKILL)
        began = time.monotonic()
        code, _, _ = ended(process)
        assert code != 0
        assert time.monotonic() - began < 30
    resumed(tmp_path)


def resumed(run: Path) -> None:
    step = runs.load(run, "last").step
    code, _, err = ended(train(2, run, "--engine", "numpy", "--resume", "--steps", str(step + 3)))
    assert code == 0, err


def test_not_finite(tmp_path: Path) -> None:
    wild = ["optim.lr=1e30", "optim.schedule=constant", "optim.warmup_epochs=0"]
    code, _, err = ended(train(2, tmp_path, *TINY, *wild))
    assert code == 1
    assert len(re.findall("is not finite", err)) == 1


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("error", "Rank 1 (process"),
        ("memory", "Rank 1 (process"),
        ("config", "rank 1 differs in its configuration: d_model = 12, and rank 0 has d_model = 8"),
        ("data", "rank 1 differs in its train data"),
        ("dtype", 'rank 1 differs in its configuration: dtype = "float64", and rank 0 has dtype = "float32"'),
        ("version", "rank 1 differs in its version of s5ref: 0.0.1"),
    ],
)
def test_one_rank_fails(what: str, words: str) -> None:
    """From Python, where each rank raises: rank 0 names the one that failed."""
    code, out, _ = ended(start(2, sys.executable, "-P", str(API), what))
    assert code != 0
    said = dict(line.split(": ", 1) for line in out.splitlines())
    assert words in said["0"]


def test_python(tmp_path: Path) -> None:
    code, out, err = ended(start(2, sys.executable, "-P", str(API), "right"))
    assert code == 0, err
    assert sorted(out.splitlines()) == ["0: 8 updates", "1: 8 updates"]
