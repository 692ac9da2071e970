"""IMDB: the official tree, its archive, and JSON lines."""

from __future__ import annotations

import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from real_formats import imdb_lines, imdb_tree, reviews, tar, write_tree

import s5ref.data
from s5ref.data import imdb
from s5ref.errors import DataError, S5Error


def transcription(n: int, length: int = 4096, least: int = 15) -> dict[str, list[tuple[list[int], int]]]:
    """The specification in plain Python."""
    rows = {
        split: [(list(text)[: length - 1], label) for label, _, _, text in sorted(reviews(split, n))]
        for split in ("train", "test")
    }
    counts = Counter(c for text, _ in rows["train"] for c in text)
    kept = sorted((c for c in counts if counts[c] >= least), key=lambda c: (-counts[c], c))
    index = {c: i for i, c in enumerate(["<pad>", "<unk>", "<eos>", *kept])}
    return {
        split: [([*(index.get(c, 1) for c in text), 2], label) for text, label in examples]
        for split, examples in rows.items()
    }


def forms(tmp_path: Path, n: int = 6) -> dict[str, Path]:
    files = imdb_tree(n)
    inside = {name.removeprefix("aclImdb/"): data for name, data in files.items()}
    lines = {split: imdb_lines(split, n) for split in ("train", "test")}
    return {
        "tree": write_tree(tmp_path / "tree" / "imdb", files).parent,
        "inside": write_tree(tmp_path / "inside", inside),
        "archive": write_tree(tmp_path / "archive", {"aclImdb_v1.tar.gz": gzip.compress(tar(files))}),
        "lines": write_tree(tmp_path / "lines", {f"imdb_{s}.jsonl": data for s, data in lines.items()}),
        "lines.xz": write_tree(
            tmp_path / "xz", {f"imdb_{s}.jsonl.xz": lzma.compress(data) for s, data in lines.items()}
        ),
    }


def test_every_form_equals_the_transcription(tmp_path: Path) -> None:
    want = transcription(6)
    for name, folder in forms(tmp_path).items():
        dataset = s5ref.data.load("text", folder)
        assert dataset.selected_on == "test"
        assert dataset.validation is dataset.test
        assert dataset.source == "partial: 12/0/12 of 25000/0/25000 examples", name
        for split, examples in zip((dataset.train, dataset.validation), want.values(), strict=True):
            batch = split.batch(np.arange(len(split)))
            assert batch.inputs.shape == (12, 4096)
            assert split.inputs.dtype == np.uint8
            assert batch.targets is not None
            assert batch.lengths is not None
            assert batch.targets.tolist() == [label for _, label in examples]
            assert batch.lengths.tolist() == [len(tokens) for tokens, _ in examples]
            for row, (tokens, _) in zip(batch.inputs.tolist(), examples, strict=True):
                assert row == tokens + [0] * (4096 - len(tokens))


def test_long_reviews_are_cut_before_the_vocabulary_is_counted(tmp_path: Path) -> None:
    long = {"aclImdb/train/neg/0_1.txt": b"a" * 4095 + b"b" * 100, "aclImdb/train/pos/0_9.txt": b"c" * 20}
    test = {"aclImdb/test/neg/0_1.txt": b"ab", "aclImdb/test/pos/0_9.txt": b""}
    dataset = s5ref.data.load("text", write_tree(tmp_path, long | test))
    assert dataset.train.lengths is not None
    assert dataset.train.lengths.tolist() == [4096, 21]
    assert dataset.train.inputs[0, -2:].tolist() == [3, 2]
    assert dataset.validation.inputs[0, :4].tolist() == [3, 1, 2, 0]
    assert dataset.validation.inputs[1, :2].tolist() == [2, 0]  # an empty review


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/neg/7_9.txt": b"great"}, r"7_9\.txt: a review with label 0 must have 1 … 4 stars; got 9"),
        ({"train/pos/7_5.txt": b"fine"}, "must have 7 … 10 stars; got 5"),
        ({"train/neg/8_1.txt": b"\xff\xfe"}, r"8_1\.txt must be UTF-8"),
        ({"train/neg/0_2.txt": b"twice"}, "train must hold reviews that differ in label or number"),
        ({"test/pos/9_8.txt": b"x" * (2**20 + 1)}, r"9_8\.txt must have at most"),
    ],
)
def test_refused_trees(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    write_tree(tmp_path / "aclImdb", files)
    write_tree(tmp_path, imdb_tree())
    with pytest.raises(S5Error, match=message):
        s5ref.data.load("text", tmp_path)


def test_a_tree_without_reviews(tmp_path: Path) -> None:
    write_tree(tmp_path, {"aclImdb/README": b"", "aclImdb/train/unsup/0_0.txt": b"x"})
    with pytest.raises(S5Error, match="train must hold reviews"):
        s5ref.data.load("text", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"1", b"{}", b'{"id": 0, "rating": 3, "label": 0}',
        b'{"id": 0, "rating": 3, "label": 2, "text": ""}',
        b'{"id": 0, "rating": 3, "label": true, "text": ""}',
        b'{"id": "0", "rating": 3, "label": 0, "text": ""}',
        b'{"id": 0, "rating": 8, "label": 0, "text": ""}', b"\xff", b"[" * 100000,
    ],
    ids=lambda line: line[:20],
)  # fmt: skip
def test_refused_lines(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(imdb_lines("train", 2) + line + b"\n")
    with pytest.raises(DataError, match=r"line 5"):
        list(imdb.read_lines(path))


def test_the_real_reviews(real_data: Path) -> None:
    dataset = s5ref.data.load("text", real_data)
    assert [len(dataset.train), len(dataset.validation)] == [25000, 25000]
    assert dataset.train.inputs.max() == 133  # 131 characters and three specials
    assert dataset.train.majority_share() == 0.5
    with lzma.open(real_data / "imdb" / "imdb_train.jsonl.xz") as stream:
        first = json.loads(stream.readline())["text"]
    assert dataset.train.lengths is not None
    assert dataset.train.lengths[0] == len(first) + 1
