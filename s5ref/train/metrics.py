"""metrics.jsonl: one line per update and one per epoch, each exactly once, whenever the run was killed.

    {"step": 1, "epoch": 1, "loss": 2.31, "lr": 0.004, "ssm_lr": 0.001}
    {"epoch": 1, "train_loss": 1.2, "val_loss": 1.1, "val_accuracy": 0.61, "seconds": 3.4}

The epochs of a regression have "val_mse" too, and no number as "val_accuracy".
Steps and epochs count from 1; seconds from the start of the run. Lines are on disk before the checkpoint that
contains them; on resume those after the checkpoint are cut off.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import IO, Any

from s5ref.errors import DataError
from s5ref.files import located, read_bytes, write_atomically

NAME = "metrics.jsonl"


class Metrics:
    """The open file of a run that continues after ``step`` updates and ``epochs`` evaluated epochs.

    ``history`` is its records of epochs. Without a run there is no file, and history alone is kept.
    """

    def __init__(self, run: Path | None, step: int, epochs: int) -> None:
        lines = [
            line
            for line in (read(run) if run else [])
            if (line["step"] <= step if "step" in line else line["epoch"] <= epochs)
        ]
        self.history = [line for line in lines if "step" not in line]
        self.complete = [line["step"] for line in lines if "step" in line] == list(range(1, step + 1))
        self._file: IO[str] | None = None
        if run:
            self._path = run / NAME
            write_atomically(self._path, "".join(_dump(line) for line in lines).encode())
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - open as long as the run

    def write(self, line: dict[str, Any]) -> None:
        """One more line: of an update, or of an epoch. Numbers that are not finite become None."""
        line = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in line.items()}
        if "step" not in line:
            self.history.append(line)
        if self._file:
            with located(self._path):
                self._file.write(_dump(line))

    def sync(self) -> None:
        """Everything written so far is on disk when this returns."""
        if self._file:
            with located(self._path):
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file:
            with located(self._path):
                self._file.close()


def read(run: str | Path) -> list[dict[str, Any]]:
    """The lines of a run, without a last one that is torn (a run that was killed ends so).

    Raises
    ------
    DataError
        On any other line that is neither of an update nor of an epoch.
    """
    path = Path(run) / NAME
    texts = read_bytes(path).splitlines() if path.exists() else []
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except ValueError:
            if number == len(texts):
                break
            line = text.decode(errors="replace")
        if not _whole(line):
            raise DataError(
                f"{path}, line {number}: must be the record of an update or of an epoch; got {line!r}.",
                "Delete the line: the run goes on, and curves.svg lacks it.",
            )
        lines.append(line)
    return lines


def _whole(line: Any) -> bool:
    """Whether the line has what is read of it again."""
    if not isinstance(line, dict) or type(line.get("epoch")) is not int:
        return False
    update = "step" in line
    values = [
        line.get(key, "") for key in (("loss",) if update else ("train_loss", "val_loss", "val_accuracy"))
    ]
    values.append(line.get("val_mse"))
    numbers = all(x is None or type(x) in (int, float) for x in values)
    return numbers and (not update or type(line["step"]) is int)


def _dump(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"
