"""What a person is told while a run trains."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from s5ref import terminal
from s5ref.train.display import Display
from s5ref.train.loop import _Pace
from s5ref.train.results import Progress
from s5ref.train.selection import Best

FIRST = Progress("train", 1, 60, 1, 20, 0.5, 1.0, 0.0, math.nan)
RECORD = {"epoch": 4, "train_loss": 0.3, "val_loss": 0.25, "val_accuracy": 0.812, "seconds": 1.0}
LATER = replace(FIRST, step=12, epoch=5, steps_per_s=4.0, eta=12.0, record=RECORD, best=Best(3, 9, 0.2, 0.83))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(terminal.Timer, "due", lambda *_: True)
    return []


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (FIRST, "epoch 1/20  step 1/60  loss 0.5000"),
        (LATER, "epoch 5/20  step 12/60  loss 0.5000  validation accuracy 81.2 %, best 83.0 % at epoch 3  "
         "4 steps/s  ETA 0:12"),
        (replace(LATER, record=RECORD | {"val_accuracy": None}, best=Best(2, 6, 0.125, None)),
         "epoch 5/20  step 12/60  loss 0.5000  validation MSE 0.25, best 0.125 at epoch 2  "
         "4 steps/s  ETA 0:12"),
        (replace(LATER, phase="test", done=0.5), "test  50 %"),
    ],
)  # fmt: skip
def test_numbers_have_names(progress: Progress, line: str, lines: list[str]) -> None:
    with Display(lines.append) as display:
        display(progress)
    assert lines == [line]


def test_the_first_of_each_kind_is_left_out_of_the_pace() -> None:
    pace = _Pace()
    pace.add("update", 30.0)  # it compiled
    assert math.isnan(pace.mean("update"))
    pace.add("update", 0.2)
    pace.add("update", 0.4)
    pace.add("evaluation", 9.0)
    assert pace.mean("update") == pytest.approx(0.3)
    assert pace.mean("evaluation", 0.0) == 0.0
