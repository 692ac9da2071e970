"""The callback for TensorBoard, on a writer that keeps what it is given."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from s5ref.errors import MissingDependency
from s5ref.train import TensorBoard
from s5ref.train.results import Progress

RECORD = {"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_accuracy": None, "seconds": 1.0}
UPDATE = Progress("train", 3, 6, 1, 2, 0.25, 1.0, 10.0, 0.3, rates={"lr": 0.1, "ssm_lr": 0.2})


def test_updates_and_epochs_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            kept.append(folder)

        def add_scalar(self, *what: Any) -> None:
            kept.append(what)

        def flush(self) -> None:
            kept.append("flush")

    module: Any = ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    board = TensorBoard("there")
    for phase in ("train", "validation", "epoch"):
        board(replace(UPDATE, phase=phase, record=RECORD if phase == "epoch" else None))
    assert kept == [
        "there", ("loss", 0.25, 3), ("lr", 0.1, 3), ("ssm_lr", 0.2, 3),
        ("train_loss", 0.5, 3), ("val_loss", 0.4, 3), "flush",
    ]  # fmt: skip


def test_without_tensorboardx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingDependency, match=r"s5ref\[tensorboard\]"):
        TensorBoard("there")
