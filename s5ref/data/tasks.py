"""The tasks: every fact about a data set that can be known without having it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from s5ref.settings import check_known

Kind = Literal["tokens", "real"]
Head = Literal["classifier", "retrieval", "regression", "pooled_regression", "gaussian_regression"]

_LRA = "lra_release.gz of the Long Range Arena, https://github.com/google-research/long-range-arena"


@dataclass(frozen=True)
class Task:
    """One task.

    name, title  the name in configs and on the command line, the name in print
    folder       the folder of its files below a data directory; "" where there is none
    kind         "tokens": integer sequences (one-hot encoded by the encoder); "real": (L, in_dim) reals
    length       L, steps of a sequence (the longest one, to which shorter ones are padded)
    in_dim       width of the input: channels, or the size of the one-hot code
    n_classes    K: classes, or width of a regression's output
    head         what reads the sequence
    sizes        official numbers of (training, validation, test) examples; 0: the split does not exist
    selected_on  the split whose result selects the checkpoint
    where        one sentence: where to get the data
    measured_by  "accuracy" or "mse"
    rate         samples per second of regular sampling; None where steps are no time
    file_sets    alternatives: complete sets of names of files (plain, .gz or .xz) and folders (NAME/)
    """

    name: str
    title: str
    folder: str
    kind: Kind
    length: int
    in_dim: int
    n_classes: int
    sizes: tuple[int, int, int]
    where: str
    head: Head = "classifier"
    selected_on: Literal["validation", "test"] = "validation"
    measured_by: Literal["accuracy", "mse"] = "accuracy"
    rate: float | None = None
    file_sets: tuple[tuple[str, ...], ...] = ()

    @property
    def train_size(self) -> int:
        """Official number of training examples: schedules and time estimates need no data."""
        return self.sizes[0]


def _cifar(name: str) -> str:
    return (
        f"Run `s5ref data {name} --make`, or place cifar-10-binary.tar.gz or cifar-10-python.tar.gz "
        "(https://www.cs.toronto.edu/~kriz/cifar.html), or what is in them, in DIR/cifar10."
    )


def _mnist(name: str, title: str) -> Task:
    stems = tuple(f"{part}-{what}" for part in ("train", "t10k") for what in ("images{}idx3", "labels{}idx1"))
    return Task(
        name, title, "mnist", "real", 784, 1, 10, (54000, 6000, 10000),
        where=f"Run `s5ref data {name} --make`, or place the 4 MNIST files (train-images-idx3-ubyte.gz, …; "
        "mirror: https://ossci-datasets.s3.amazonaws.com/mnist/) in DIR/mnist.",
        file_sets=tuple(tuple(f"{stem.format(mark)}-ubyte" for stem in stems) for mark in "-."),
    )  # fmt: skip


_LISTOPS_FILES = tuple(
    tuple(f"{prefix}_{split}.tsv" for split in ("train", "val", "test"))
    for prefix in ("basic", "lra_format_basic")
)
_CIFAR_FILES = (
    ("cifar-10-batches-bin/",),
    ("cifar-10-batches-py/",),
    ("data_batch_1.bin", "test_batch.bin"),
    ("data_batch_1", "test_batch"),
    ("cifar-10-binary.tar",),
    ("cifar-10-python.tar",),
)
_IMDB_FILES = (
    ("aclImdb/",),
    tuple(f"{split}/{label}/" for split in ("train", "test") for label in ("neg", "pos")),
    ("imdb_train.jsonl", "imdb_test.jsonl"),
    ("aclImdb_v1.tar",),
)
_AAN_FILES = tuple(
    tuple(f"{folder}new_aan_pairs.{split}.tsv" for split in ("train", "eval", "test"))
    for folder in ("", "tsv_data/")
)
_LRA_ARCHIVE = (("lra_release",),)


def _pathfinder(name: str, title: str, side: int) -> Task:
    release = f"pathfinder{side}/curv_contour_length_14/"
    folder, sizes = "pathx" if side == 128 else f"pathfinder{side}", (160000, 20000, 20000)
    return Task(
        name, title, folder, "real", side * side, 1, 2, sizes,
        where=f"Run `s5ref data {name} --make` (no download), or place {release} of {_LRA}, "
        "in DIR (needs Pillow).",
        file_sets=(
            ("images.npy", "labels.npy", "manifest.json"), ("curv_contour_length_14/",),
            ("imgs/", "metadata/"), (release,), *_LRA_ARCHIVE,
        ),
    )  # fmt: skip


_ALL = (
    Task(
        "digits", "Digits 8×8", "", "real", 64, 1, 10, (1257, 180, 360),
        where="It is part of s5ref (UCI Optical Recognition of Handwritten Digits, CC BY 4.0).",
    ),
    _mnist("smnist", "sMNIST"),
    _mnist("psmnist", "psMNIST"),
    Task(
        "scifar", "sCIFAR", "cifar10", "real", 1024, 3, 10, (45000, 5000, 10000), where=_cifar("scifar"),
        file_sets=_CIFAR_FILES,
    ),
    Task(
        "listops", "ListOps", "listops", "tokens", 2048, 20, 10, (96000, 2000, 2000),
        where="Run `s5ref data listops --make` (no download), or place basic_train.tsv, "
        f"basic_val.tsv and basic_test.tsv of {_LRA}, in DIR/listops.",
        file_sets=_LISTOPS_FILES,
    ),
    Task(
        "text", "Text (IMDB)", "imdb", "tokens", 4096, 135, 2, (25000, 0, 25000), selected_on="test",
        where="Run `s5ref data text --make`, or place aclImdb_v1.tar.gz "
        "(https://ai.stanford.edu/~amaas/data/sentiment/), or the folder in it, in DIR/imdb.",
        file_sets=_IMDB_FILES,
    ),
    Task(
        "retrieval", "Retrieval (AAN)", "aan", "tokens", 4000, 98, 2, (147086, 18090, 17437),
        head="retrieval",
        where="Run `s5ref data retrieval --make` (several GB), or place that archive, or "
        f"new_aan_pairs.train.tsv, .eval.tsv and .test.tsv of {_LRA}, in DIR/aan.",
        file_sets=(*_AAN_FILES, *_LRA_ARCHIVE),
    ),
    Task(
        "image", "Image (grey CIFAR-10)", "cifar10", "real", 1024, 1, 10, (45000, 5000, 10000),
        where=_cifar("image"), file_sets=_CIFAR_FILES,
    ),
    _pathfinder("pathfinder", "Pathfinder", 32),
    _pathfinder("pathx", "Path-X", 128),
    Task(
        "speech35", "Speech Commands 35", "speech_commands", "real", 16000, 1, 35, (84843, 9981, 11005),
        where="Run `s5ref data speech35 --make` (2.4 GB), or place speech_commands_v0.02.tar.gz "
        "(https://storage.googleapis.com/download.tensorflow.org/data/), or the folder speech_commands_v0.02 "
        "with what is in it, in DIR/speech_commands.",
        rate=16000.0,
        file_sets=(
            ("speech_commands_v0.02/",), ("validation_list.txt", "testing_list.txt"), ("yes/", "no/"),
            ("speech_commands_v0.02.tar",),
        ),
    ),
    Task(
        "pendulum", "Pendulum", "pendulum", "real", 50, 576, 2, (2000, 1000, 1000),
        head="gaussian_regression", measured_by="mse",
        where="Run `s5ref data pendulum --make` (no download; needs the extra `data`), or place "
        "pend_regression.npz, as https://github.com/andrewwarrington/Continuous-Recurrent-Units makes it, "
        "in DIR/pendulum.",
        file_sets=(("pend_regression.npz",),),
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def get_task(name: str) -> Task:
    """The task called ``name``.

    Raises
    ------
    ConfigError
        On an unknown name, naming the nearest one.
    """
    check_known("task", name, TASKS)
    return TASKS[name]
