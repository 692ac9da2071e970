"""The table of tasks."""

from __future__ import annotations

import pytest

from s5ref.data import READERS, TASKS, get_task
from s5ref.errors import S5Error
from s5ref.model.heads import HEADS

LENGTHS = {
    "digits": 64, "smnist": 784, "psmnist": 784, "scifar": 1024, "listops": 2048, "text": 4096,
    "retrieval": 4000, "image": 1024, "pathfinder": 1024, "pathx": 16384, "speech35": 16000, "pendulum": 50,
}  # fmt: skip


def test_every_task_is_there_with_its_length() -> None:
    assert {name: task.length for name, task in TASKS.items()} == LENGTHS


@pytest.mark.parametrize("name", TASKS)
def test_facts_are_consistent(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert task.train_size == task.sizes[0] > 0
    assert task.sizes[2] > 0
    assert (task.sizes[1] == 0) == (task.selected_on == "test")
    assert HEADS[task.head].classifies == (task.measured_by == "accuracy")
    assert task.where.endswith(".")
    assert bool(task.folder) == (name != "digits")
    assert (name in READERS and name != "digits") == bool(task.file_sets)


@pytest.mark.parametrize(("wrong", "near"), [("mnist", "smnist"), ("ListOp", "listops"), ("path-x", "pathx")])
def test_unknown_names_get_the_nearest_one(wrong: str, near: str) -> None:
    with pytest.raises(S5Error) as caught:
        get_task(wrong)
    assert repr(wrong) in caught.value.message
    assert f"Did you mean {near}?" in caught.value.remedy


def test_unknown_names_without_a_near_one_get_the_list() -> None:
    with pytest.raises(S5Error) as caught:
        get_task("zzz")
    assert "Did you mean" not in caught.value.remedy
    assert all(name in caught.value.remedy for name in TASKS)
