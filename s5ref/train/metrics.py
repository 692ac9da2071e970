"""metrics.jsonl: one line per update and one per epoch, each exactly once, whenever the run was killed.

    {"step": 1, "epoch": 1, "loss": 2.31, "lr": 0.004, "ssm_lr": 0.001}
    {"epoch": 1, "train_loss": 1.2, "val_loss": 1.1, "val_accuracy": 0.61, "seconds": 3.4}

Steps and epochs count from 1; seconds from the start of the run. Lines are on disk before the checkpoint that
contains them; on resume those after the checkpoint are cut off.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import IO, Any

from s5ref.files import located, write_atomically

NAME = "metrics.jsonl"


class Metrics:
    """The open file of a run that continues after ``step`` updates and ``epochs`` evaluated epochs."""

    def __init__(self, run: Path, step: int, epochs: int) -> None:
        lines = [
            line
            for line in read(run)
            if (line["step"] <= step if "step" in line else line["epoch"] <= epochs)
        ]
        self._path = run / NAME
        write_atomically(self._path, "".join(_dump(line) for line in lines).encode())
        self.complete = [line["step"] for line in lines if "step" in line] == list(range(1, step + 1))
        self._file: IO[str] = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - open as long as the run

    def write(self, line: dict[str, Any]) -> None:
        with located(self._path):
            self._file.write(_dump(line))

    def sync(self) -> None:
        """Everything written so far is on disk when this returns."""
        with located(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with located(self._path):
            self._file.close()


def read(run: str | Path) -> list[dict[str, Any]]:
    """The lines of a run, up to the first that is torn (a run that was killed ends so)."""
    path = Path(run) / NAME
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_bytes().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def _dump(line: dict[str, Any]) -> str:
    finite = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in line.items()}
    return json.dumps(finite) + "\n"
