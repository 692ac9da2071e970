"""The ListOps generator against its exact distribution, and the files it makes."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import s5ref.data
from s5ref.data import listops_files
from s5ref.data.listops_generator import Rows, chunk, distinct, examples, sample, text
from s5ref.errors import S5Error
from s5ref.random import generator

SIZES = (600, 40, 30)


def exact_lengths() -> npt.NDArray[np.float64]:
    """P(length) of a tree for lengths 0 … 1999, by convolution from depth 10 up to the root."""
    size, width = 2000, 4096  # no wrap-around below ``size``
    leaf = np.zeros(size)
    leaf[1] = 1
    law = leaf
    for _ in range(9):
        power, total = law, np.zeros(size)
        for _ in range(2, 11):
            power = np.fft.irfft(np.fft.rfft(power, width) * np.fft.rfft(law, width), width)[:size]
            total += power
        law = 0.75 * leaf
        law[2:] += 0.25 / 9 * total[:-2]
    return law


@pytest.fixture(scope="module")
def drawn() -> Rows:
    """8192 kept trees."""
    parts = [chunk(1, "train", i) for i in range(16)]
    return Rows(
        np.concatenate([part.flat for part in parts]),
        np.cumsum(np.concatenate([[0], *(np.diff(part.offsets) for part in parts)])),
        np.concatenate([part.values for part in parts]),
        sum(part.attempts for part in parts),
    )


def test_acceptance_and_lengths_follow_the_exact_distribution(drawn: Rows) -> None:
    law = exact_lengths()
    kept = law[501:].sum()
    assert abs(kept - 0.0828) < 5e-5
    share = len(drawn.values) / drawn.attempts
    assert abs(share - kept) < 4 * math.sqrt(kept * (1 - kept) / drawn.attempts)
    lengths = np.diff(drawn.offsets)
    assert lengths.min() >= 501
    assert lengths.max() <= 1999
    empirical = np.searchsorted(np.sort(lengths), np.arange(501, 2000), "right") / len(lengths)
    distance = np.abs(empirical - np.cumsum(law[501:]) / kept).max()
    assert distance < 1.95 / math.sqrt(len(lengths))  # Kolmogorov–Smirnov, p = 0.001
    assert 501 + np.searchsorted(np.cumsum(law[501:]) / kept, 0.5) == 954


def test_classes_0_and_9_have_17_percent_each(drawn: Rows) -> None:
    shares = np.bincount(drawn.values, minlength=10) / len(drawn.values)
    assert np.abs(shares[[0, 9]] - 0.17).max() < 0.015
    assert shares[1:9].min() > 0.06
    assert shares[1:9].max() < 0.105


def test_operators_digits_arguments_and_depth(drawn: Rows) -> None:
    counts = np.bincount(drawn.flat, minlength=15)
    assert counts[10:14].sum() == counts[14]
    for group in (counts[:10], counts[10:14]):
        want = group.sum() / len(group)
        assert ((group - want) ** 2 / want).sum() < 30  # χ², 9 degrees of freedom at most: p < 0.001
    depth = np.cumsum(np.where(drawn.flat < 10, 0, np.where(drawn.flat < 14, 1, -1)))
    assert depth.max() == 9
    assert depth[drawn.offsets[1:] - 1].max() == 0
    arguments: list[int] = []
    open_now: list[int] = []
    for token in drawn.flat[:200_000].tolist():
        if token == 14:
            arguments.append(open_now.pop())
        elif open_now:
            open_now[-1] += 1
        if 10 <= token < 14:
            open_now.append(0)
    histogram = np.bincount(arguments, minlength=12)
    assert np.flatnonzero(histogram).tolist() == list(range(2, 11))
    assert histogram[2:11].min() > 0.9 * len(arguments) / 9


def test_compiled_and_python_draw_the_same_trees() -> None:
    want = chunk(3, "val", 2, size=2)
    flat, offsets = np.empty(2 * 2020, np.uint8), np.empty(3, np.int64)
    attempts = sample(generator(3, "listops", "val", 2), 2, flat, offsets, np.zeros(11, np.int64))
    assert attempts == want.attempts
    np.testing.assert_array_equal(offsets, want.offsets)
    np.testing.assert_array_equal(flat[: offsets[-1]], want.flat)


def test_duplicates_are_dropped() -> None:
    rows = Rows(
        np.array([1, 2, 2, 1, 3, 4], np.uint8), np.array([0, 1, 3, 4, 5, 6]), np.arange(5, dtype=np.uint8), 9
    )
    seen = {hashlib.blake2b(bytes([4]), digest_size=16).digest()}
    first = distinct(rows, seen, 10)
    assert first.flat.tolist() == [1, 2, 2, 3]
    assert first.offsets.tolist() == [0, 1, 3, 4]
    assert first.values.tolist() == [0, 1, 3]
    again = distinct(rows, seen, 10)
    assert len(again.values) == len(again.flat) == 0
    assert distinct(rows, set(), 2).values.tolist() == [0, 1]


def test_examples_that_are_seen_are_replaced() -> None:
    seen: set[bytes] = set()
    list(examples(0, "train", 512, seen, 1))
    parts = list(examples(0, "train", 10, seen, 2))  # chunk 0 is all seen: they come from chunk 1
    assert sum(len(part.values) for part in parts) == 10
    assert text(parts[0]) == text(distinct(chunk(0, "train", 1), set(), 10))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return listops_files.make(tmp_path_factory.mktemp("made") / "listops", 0, SIZES, workers=1)


def test_files_do_not_depend_on_the_workers(made: Path, tmp_path: Path) -> None:
    said: list[str] = []
    other = s5ref.data.make("listops", tmp_path, 0, said.append, SIZES, workers=4)
    assert other == tmp_path / "listops"
    names = sorted(path.name for path in made.iterdir())
    assert names == ["basic_test.tsv", "basic_train.tsv", "basic_val.tsv", "manifest.json"]
    assert sorted(path.name for path in other.iterdir()) == names
    for name in names:
        assert (made / name).read_bytes() == (other / name).read_bytes()
    assert said[-1] == "listops test: 30 of 30 examples"
    assert [path.name for path in tmp_path.iterdir()] == ["listops"]


def test_files_are_frozen_by_the_seed(made: Path) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["files"]["basic_test.tsv"]["sha256"] == FROZEN
    assert manifest["seed"] == 0
    assert manifest["sizes"] == list(SIZES)
    for name, facts in manifest["files"].items():
        data = (made / name).read_bytes()
        assert facts["sha256"] == hashlib.sha256(data).hexdigest()
        assert facts["bytes"] == len(data)
        assert facts["rows"] == data.count(b"\r\n") - 1
        assert data.startswith(b"Source\tTarget\r\n( ( ( ")


FROZEN = "b5a410e8258a5c7adf10b46715393588dd4911fb9d1fe3b102a5e5c89dd54252"


def test_no_duplicates_within_and_across_splits(made: Path) -> None:
    rows = [row for path in made.glob("*.tsv") for row in path.read_bytes().splitlines()[1:]]
    assert len(set(rows)) == len(rows) == sum(SIZES)


def test_another_seed_gives_other_files(made: Path, tmp_path: Path) -> None:
    other = listops_files.make(tmp_path / "x", 1, (1, 1, 30))
    assert (other / "basic_test.tsv").read_bytes() != (made / "basic_test.tsv").read_bytes()


def test_making_again_keeps_and_verifies(tmp_path: Path) -> None:
    out = listops_files.make(tmp_path / "listops", 5, (3, 2, 1))
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert listops_files.make(out, 5, (3, 2, 1)) == out
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(S5Error, match="already holds the data of"):
        listops_files.make(out, 6, (3, 2, 1))
    (out / "basic_val.tsv").write_bytes(b"x")
    with pytest.raises(S5Error, match=r"basic_val\.tsv: SHA-256 must be"):
        listops_files.make(out, 5, (3, 2, 1))
    (out / "manifest.json").write_text("{}")
    with pytest.raises(S5Error, match=r"manifest\.json: must be the manifest"):
        listops_files.make(out, 5, (3, 2, 1))


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "basic_train.tsv").write_bytes(b"mine")
    with pytest.raises(S5Error, match="got other files"):
        listops_files.make(tmp_path, 0, (1, 1, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["basic_train.tsv"]
    with pytest.raises(S5Error, match="at least 1 example"):
        listops_files.make(tmp_path / "x", 0, (1, 0, 1))


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "val" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listops_files.make(tmp_path / "listops", 0, (2, 2, 2), report=stop)
    assert list(tmp_path.iterdir()) == []
