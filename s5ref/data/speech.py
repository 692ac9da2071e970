"""Speech Commands v0.02, 35 words: raw waves of one second at 16 kHz, from the official tree or archive.

Warden, "Speech Commands: a data set for limited-vocabulary speech recognition", 2018; CC BY 4.0.

As upstream has it, waves are divided by 2¹⁵ twice, and (x − mean) / (deviation + 1e-5) is taken with mean and
deviation of each *step* over the training set. Silence is therefore not 0 but a small wave of its own.
"""

from __future__ import annotations

import io
import re
import wave
from pathlib import Path

import numpy as np

from s5ref.arrays import Array
from s5ref.data.archives import contents
from s5ref.data.batches import Dataset, Rows, Split, Standardised
from s5ref.data.characters import decode
from s5ref.data.lookup import find, partial
from s5ref.data.official import is_official
from s5ref.data.parsed import parsed
from s5ref.data.stored import Arrays
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import DAMAGED, parsing
from s5ref.random import generator

# by class, upstream's order
WORDS = (
    "bed", "cat", "down", "five", "forward", "go", "house", "left", "marvin", "no", "on", "right",
    "sheila", "tree", "up", "visual", "yes", "backward", "bird", "dog", "eight", "follow", "four", "happy",
    "learn", "nine", "off", "one", "seven", "six", "stop", "three", "two", "wow", "zero",
)  # fmt: skip
RATE = 16_000
LISTS = {"validation_list.txt": 1, "testing_list.txt": 2}  # split: 0 is training
_CLIP = re.compile(r"(?:^|/)([a-z]+)/([0-9a-f]+)_nohash_(\d+)\.wav$")
_LIST = re.compile(r"(?:^|/)(validation_list|testing_list)\.txt$")
_LONGEST = 1 << 23  # bytes of a file
_BLOCK = 1024  # clips


def read_wav(data: bytes, where: str) -> Array:
    """The (n,) int16 samples of one second or less: one channel, 16 bits, 16 kHz.

    Raises
    ------
    DataError
        If it is no whole WAV file of this kind.
    """
    with parsing(f"{where} is not readable as WAV", DAMAGED), wave.open(io.BytesIO(data)) as clip:
        form = clip.getnchannels(), 8 * clip.getsampwidth(), clip.getframerate()
        n = clip.getnframes()
        if form != (1, 16, RATE) or not 1 <= n <= RATE:
            raise DataError(
                f"{where}: must have 1 channel of 16 bits at {RATE} Hz and 1 to {RATE} samples; got "
                f"{form} and {n}.",
                "Get the official file.",
            )
        samples = clip.readframes(n)
        if len(samples) != 2 * n:
            raise DataError(f"{where}: must hold {n} samples; got {len(samples) // 2}.", DAMAGED)
        return np.frombuffer(samples, "<i2")


def _read(path: Path, length: int, arrays: Arrays) -> None:
    """All clips as they come; ``order``: by word and name; the split and word of each; statistics."""
    names: list[tuple[int, str]] = []
    listed: dict[str, int] = {}
    lists = set()
    with arrays.rows("inputs", (length,), np.int16) as add:
        for name, data in contents(path, lambda name: bool(_clip(name) or _LIST.search(name)), _LONGEST):
            if match := _LIST.search(name):
                file = f"{match[1]}.txt"
                lists.add(file)
                listed |= dict.fromkeys(decode(data, f"{path}: {name:.200}").split(), LISTS[file])
                continue
            word, clip = _clip(name) or ("", "")
            if word not in WORDS:
                raise DataError(f"{path}: {name:.200} must be one of the 35 words; got {word!r}.", DAMAGED)
            row = np.zeros((1, length), np.int16)
            samples = read_wav(data, f"{path}: {name}")
            row[0, : len(samples)] = samples
            add(row)
            names.append((WORDS.index(word), f"{word}/{clip}"))
    if not names or len(set(names)) < len(names):
        raise DataError(f"{path}: must hold clips of different names; got {len(names)}.", DAMAGED)
    if lists and lists != LISTS.keys():
        raise DataError(
            f"{path}: must hold both lists or none; got {', '.join(lists)}.", "Get the other one too."
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    splits = [listed.get(name, 0) if lists else _by_speaker(name) for _, name in names]
    arrays["order"] = np.array(order, np.int64)
    arrays["targets"] = np.array([label for label, _ in names], np.uint8)
    arrays["splits"] = np.array(splits, np.uint8)
    arrays["lists"] = np.array(bool(lists))
    arrays["mean"], arrays["deviation"] = _statistics(arrays["inputs"], np.flatnonzero(arrays["splits"] == 0))


def _clip(name: str) -> tuple[str, str] | None:
    """(word, name of the file) of a clip."""
    match = _CLIP.search(name)
    return (match[1], name.rpartition("/")[2]) if match else None


def _by_speaker(name: str) -> int:
    """A split of clips without the official lists: 80, 10 and 10 % of the speakers, none in two."""
    speaker = name.partition("/")[2].partition("_")[0]
    return int(np.searchsorted([0.8, 0.9], generator("speech35", speaker).random(), side="right"))


def _statistics(clips: Array, training: Array) -> tuple[Array, Array]:
    """Mean and deviation (n − 1) of each step, (L, 1) float64, of waves divided by 2³⁰."""
    n = len(training)
    if n < 2:
        raise DataError(f"Speech Commands: must hold at least 2 training clips; got {n}.", DAMAGED)
    total, squares = np.zeros((2, clips.shape[1]))
    blocks = [training[i : i + _BLOCK] for i in range(0, n, _BLOCK)]
    for block in blocks:
        total += clips[block].sum(axis=0, dtype=np.int64)
    for block in blocks:
        squares += ((clips[block] - total / n) ** 2).sum(axis=0)
    return (total / n / 2.0**30)[:, None], (np.sqrt(squares / (n - 1)) / 2.0**30)[:, None]


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """Speech Commands from the first complete set of files; decoded once, then a memory map of the cache.

    Without the official lists the speakers are split, and the result is no Speech Commands accuracy.

    Raises
    ------
    DataError
        On files that are missing, damaged or mislabelled.
    """
    files = find(task, data)
    root = files[0] if len(files) == 1 else files[0].parent

    def build(arrays: Arrays) -> None:
        _read(root, task.length, arrays)
        arrays["official"] = np.array(is_official(root))

    arrays = parsed("speech1", [root], build, use_cache)
    prepare = Standardised(2.0**30, arrays["mean"], arrays["deviation"] + 1e-5)
    order, splits, targets = arrays["order"], arrays["splits"], arrays["targets"]
    parts = [order[splits[order] == split] for split in range(3)]
    train, validation, test = (
        Split(Rows.of(arrays["inputs"], part), targets[part], prepare) for part in parts
    )
    sizes = len(train), len(validation), len(test)
    source = partial(task, sizes, "official" if arrays["official"] else "")
    if not arrays["lists"]:
        source += ", split by speaker without the official lists"
    return Dataset(task, train, validation, test, source)
