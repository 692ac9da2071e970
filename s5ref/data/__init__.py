"""Data: the tasks' facts, their data sets, and a user's own arrays."""

from s5ref.data.batches import Dataset, Split, order
from s5ref.data.files import load_arrays, save_arrays
from s5ref.data.loading import READERS, Check, FileCheck, Reader, check, load, make
from s5ref.data.tasks import TASKS, Task, get_task
from s5ref.data.user import from_arrays

__all__ = [
    "READERS",
    "TASKS",
    "Check",
    "Dataset",
    "FileCheck",
    "Reader",
    "Split",
    "Task",
    "check",
    "from_arrays",
    "get_task",
    "load",
    "load_arrays",
    "make",
    "order",
    "save_arrays",
]
