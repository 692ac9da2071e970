"""Text: the reviews of IMDB as characters, from the official tree, its archive, or JSON lines.

Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011. There is no validation set: the test
set selects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s5ref.data import characters
from s5ref.data.archives import contents
from s5ref.data.batches import Dataset
from s5ref.data.characters import decode
from s5ref.data.lookup import find, partial
from s5ref.data.official import is_official
from s5ref.data.parsed import parsed
from s5ref.data.stored import Arrays
from s5ref.data.tasks import Task
from s5ref.errors import DataError
from s5ref.files import DAMAGED, parsing, reading

LEAST = 15  # times that a character of the vocabulary occurs in the training texts
_LONGEST = 1 << 20  # bytes of a review; the longest official one has 14,106
_MOST = 100_000  # reviews in a file
_NAME = re.compile(r"(?:^|/)(train|test)/(neg|pos)/(\d+)_(\d+)\.txt$")


class Review(NamedTuple):
    """label 0: negative; number: of its file, from 0 in each class; rating: stars, 1 … 4 or 7 … 10."""

    label: int
    number: int
    rating: int
    text: str


def _checked(where: str, review: Review) -> Review:
    """A review whose stars are those of its label."""
    if not (1 <= review.rating <= 4, 7 <= review.rating <= 10)[review.label]:
        want = ("1 … 4", "7 … 10")[review.label]
        raise DataError(
            f"{where}: a review with label {review.label} must have {want} stars; got {review.rating}.",
            "The file is mislabelled: get the official one.",
        )
    return review


def read_tree(path: Path) -> dict[str, list[Review]]:
    """The reviews in train/neg/0_3.txt, …, of a folder or an archive, by split.

    Raises
    ------
    DataError
        On a damaged archive, a review that is no text, is too long, or whose stars contradict its folder.
    """
    splits: dict[str, list[Review]] = {"train": [], "test": []}
    for name, data in contents(path, lambda name: _NAME.search(name) is not None, _LONGEST):
        match = _NAME.search(name)
        assert match is not None
        split, folder, number, rating = match.groups()
        where = f"{path}: {name:.200}"
        review = Review(int(folder == "pos"), int(number), int(rating), decode(data, where))
        splits[split].append(_checked(where, review))
    return splits


def read_lines(path: Path) -> Iterator[Review]:
    """The reviews of a file of JSON lines, ``{"id": …, "rating": …, "label": …, "text": …}``.

    Raises
    ------
    DataError
        Naming the line that is none.
    """
    with reading(path) as stream:
        for line in range(1, _MOST + 2):
            data = stream.readline(_LONGEST + 1)
            if not data:
                return
            where = f"{path}, line {line}"
            if line > _MOST or len(data) > _LONGEST:
                raise DataError(
                    f"{where}: must have at most {_LONGEST} bytes, and be one of {_MOST}.", DAMAGED
                )
            with parsing(f"{where} must be a review as JSON", DAMAGED):
                entry = json.loads(decode(data, where))
                review = Review(entry["label"], entry["id"], entry["rating"], entry["text"])
                if [type(field) for field in review] != [int, int, int, str] or review.label not in (0, 1):
                    raise DataError(f"{where}: must hold label 0 or 1, id, rating and text.", DAMAGED)
                yield _checked(where, review)


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """IMDB from the first complete set of files; parsed once, then from the cache.

    Raises
    ------
    DataError
        On files that are missing, damaged or mislabelled.
    """
    files = find(task, data)

    def build(arrays: Arrays) -> None:
        if len(files) == 2 and files[0].is_file():
            splits = {name: [*read_lines(path)] for name, path in zip(("train", "test"), files, strict=True)}
        else:
            splits = read_tree(files[0] if len(files) == 1 else files[0].parents[1])
        for split, reviews in splits.items():
            reviews.sort(key=lambda review: review[:2])
            keys = [review[:2] for review in reviews]
            if not reviews or len(set(keys)) < len(keys):
                raise DataError(
                    f"{files[0]}: {split} must hold reviews that differ in label or number; got {len(keys)}.",
                    DAMAGED,
                )
        table = characters.vocabulary(
            characters.count((review.text for review in splits["train"]), task.length), LEAST
        )
        for split, reviews in splits.items():
            rows = np.zeros((len(reviews), task.length), np.uint8)
            lengths = [
                characters.encode(review.text, table, row) for review, row in zip(reviews, rows, strict=True)
            ]
            arrays[f"{split}_inputs"], arrays[f"{split}_lengths"] = rows, np.array(lengths, np.uint16)
            arrays[f"{split}_targets"] = np.array([review.label for review in reviews], np.uint8)

        arrays["official"] = np.array(is_official(files[0]))

    arrays = parsed("imdb1", files, build, use_cache)
    train, test = (characters.split(arrays, name) for name in ("train", "test"))
    source = partial(task, (len(train), 0, len(test)), "official" if arrays["official"] else "")
    return Dataset(task, train, test, test, source, selected_on="test")
