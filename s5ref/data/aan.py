"""Retrieval: pairs of papers of the ACL Anthology Network as characters, from tab-separated files.

Columns: label (0 or 1), two numbers, two texts; no header. A field that begins with a quotation mark ends
with one, as pandas reads it. Radev et al., "The ACL Anthology Network corpus", 2013; Tay et al., Long Range
Arena.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.data import characters
from s5ref.data.archives import walk
from s5ref.data.batches import Dataset
from s5ref.data.lookup import find, partial
from s5ref.data.parsed import parsed
from s5ref.data.stored import Arrays
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import DAMAGED, parsing, reading

SPLITS = {"train": "train", "eval": "validation", "test": "test"}  # name in a file: ours
_NAME = re.compile(r"(?:^|/)new_aan_pairs\.(train|eval|test)\.tsv$")
_LONGEST = 1 << 22  # characters of a field
_BLOCK = 256  # pairs


class Pair(NamedTuple):
    """label 1: one paper cites the other."""

    label: int
    texts: tuple[str, str]


def read_pairs(stream: IO[bytes], where: str) -> Iterator[Pair]:
    """The rows of a file.

    Raises
    ------
    DataError
        Naming the row that is none.
    """
    lines = io.TextIOWrapper(stream, "utf-8", newline="")  # a page feed ends no line
    before = csv.field_size_limit(_LONGEST)
    row = 0
    try:
        with parsing(f"{where} is not readable as a table of pairs", DAMAGED):
            for row, fields in enumerate(csv.reader(lines, delimiter="\t"), 1):
                if len(fields) != 5 or fields[0] not in ("0", "1", "0.0", "1.0"):
                    raise DataError(
                        f"{where}, row {row}: must be label 0 or 1, two numbers and two texts; got "
                        f"{len(fields)} fields, the first {fields[:1]!r:.60}.",
                        DAMAGED,
                    )
                yield Pair(int(fields[0][0]), (fields[3], fields[4]))
    finally:
        csv.field_size_limit(before)
        lines.detach()
    if not row:
        raise DataError(f"{where}: must hold at least one pair; it is empty.", DAMAGED)


def _streams(files: tuple[Path, ...], wanted: set[str]) -> Iterator[tuple[str, IO[bytes], str]]:
    """(split, stream, its name) of the three files, or of those in an archive."""
    if len(files) == 3:
        for path, split in zip(files, SPLITS, strict=True):
            if split in wanted:
                with reading(path) as stream:
                    yield split, stream, str(path)
        return

    def accept(name: str) -> bool:
        return (match := _NAME.search(name)) is not None and match[1] in wanted

    for name, stream in walk(files[0], accept):
        match = _NAME.search(name)
        assert match is not None
        yield match[1], stream, f"{files[0]}: {name}"


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """AAN from the first complete set of files; parsed once, then from the cache.

    Raises
    ------
    DataError
        On files that are missing, damaged or mislabelled.
    """
    files = find(task, data)
    length = task.length

    def build(arrays: Arrays) -> None:
        counts: Array | None = None
        for _, stream, where in _streams(files, {"train"}):
            texts = (text for pair in read_pairs(stream, where) for text in pair.texts)
            counts = characters.count(texts, length)
        if counts is None:
            raise DataError(f"{files[0]}: must hold new_aan_pairs.train.tsv; it does not.", task.where)
        table = characters.vocabulary(counts)
        found = set()
        for split, stream, where in _streams(files, {*SPLITS}):
            _encode(arrays, SPLITS[split], read_pairs(stream, where), table, length)
            found.add(split)
        if missing := SPLITS.keys() - found:
            raise DataError(
                f"{files[0]}: must hold the pairs of {', '.join(SPLITS)}; lacks {', '.join(missing)}.",
                task.where,
            )

    arrays = parsed("aan1", files, build, use_cache)
    train, validation, test = (characters.split(arrays, name) for name in SPLITS.values())
    sizes = len(train), len(validation), len(test)
    return Dataset(task, train, validation, test, partial(task, sizes))


def _encode(arrays: Arrays, split: str, pairs: Iterator[Pair], table: Array, length: int) -> None:
    """The pairs of a split, some at a time: the official training set is larger than the memory of some."""
    targets, lengths = [], []
    with arrays.rows(f"{split}_inputs", (2, length), np.uint8) as add:
        block: list[Array] = []
        for pair in pairs:
            rows = np.zeros((2, length), np.uint8)
            lengths.append(
                [characters.encode(text, table, row) for text, row in zip(pair.texts, rows, strict=True)]
            )
            targets.append(pair.label)
            block.append(rows)
            if len(block) == _BLOCK:
                add(np.stack(block))
                block.clear()
        if block:
            add(np.stack(block))
    arrays[f"{split}_lengths"] = np.array(lengths, np.uint16)
    arrays[f"{split}_targets"] = np.array(targets, np.uint8)
