"""AAN: pairs of texts in tab-separated files."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from real_formats import aan, aan_files, aan_rows, tar, write_tree

import s5ref.data
from s5ref.data import aan as reader
from s5ref.errors import DataError, S5Error

SPLITS = {"train": 30, "eval": 12, "test": 12}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "aan", aan_files()).parent


def test_dataset_equals_the_transcription(folder: Path, tmp_path: Path) -> None:
    rows = {split: aan_rows(split, 12) for split in ("train", "eval", "test")}
    counts = Counter(c for _, *texts in rows["train"] for text in texts for c in text[:3999])
    names = ["<pad>", "<unk>", "<eos>", *sorted(counts, key=lambda c: (-counts[c], c))]
    index = {c: i for i, c in enumerate(names)}
    archive = {f"lra_release/lra_release/tsv_data/{name}": data for name, data in aan_files().items()}
    other = write_tree(tmp_path / "archive", {"lra_release.gz": gzip.compress(tar(archive))})
    lra = write_tree(tmp_path / "lra", {f"tsv_data/{name}": data for name, data in aan_files().items()})
    for where in (folder, other, lra):
        dataset = s5ref.data.load("retrieval", where)
        assert dataset.source == "partial: 12/12/12 of 147086/18090/17437 examples"
        for split, examples in zip(dataset.splits().values(), rows.values(), strict=True):
            batch = split.batch(np.arange(len(split)))
            assert batch.inputs.shape == (12, 2, 4000)
            assert split.inputs.dtype == np.uint8
            assert batch.targets is not None
            assert batch.lengths is not None
            assert batch.targets.tolist() == [label for label, *_ in examples]
            for pair, lengths, (_, *texts) in zip(
                batch.inputs.tolist(), batch.lengths.tolist(), examples, strict=True
            ):
                for row, length, text in zip(pair, lengths, texts, strict=True):
                    assert row == [*(index.get(c, 1) for c in text), 2] + [0] * (3999 - len(text))
                    assert length == len(text) + 1


def test_rows_are_read_as_pandas_reads_them() -> None:
    pandas = pytest.importorskip("pandas")
    rows = (
        b'1\t1\t2\t"quoted" is not\tplain\n0\t3\t4\tmiddle "quoted"\t"a ""b"" c"\r\n'
        b'0.0\t5\t6\t"two\nlines"\tpage\x0cfeed\xc2\x85\xe2\x80\xa8end\n1.0\t7\t8\ta\tb'
    )
    frame = pandas.read_csv(
        io.BytesIO(rows), delimiter="\t", header=None, names=["label", "1", "2", "a", "b"]
    )
    want = [(int(label), (a, b)) for label, _, _, a, b in frame.itertuples(index=False)]
    assert list(reader.read_pairs(io.BytesIO(rows), "x")) == want
    assert want[2][1] == ("two\nlines", "page\x0cfeed\x85\u2028end")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    files = aan_files() | {"new_aan_pairs.train.tsv": b"1\t1\t2\t" + b"a" * 5000 + b"\tb\n"}
    train = s5ref.data.load("retrieval", write_tree(tmp_path, files)).train
    assert train.lengths is not None
    assert train.lengths.tolist() == [[4000, 2]]
    assert train.inputs[0, 0, -2:].tolist() == [3, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"2\t1\t2\ta\tb\n", "row 1: must be label 0 or 1"),
        (b"1\t1\t2\ta\n", "row 1: .* got 4 fields"),
        (aan("train") + b"1\t1\t2\ta\tb\tc\n", "row 13: .* got 6 fields"),
        (b"", "must hold at least one pair"),
        (b"1\t1\t2\t\xff\tb\n", "not readable"),
        (b"1\t1\t2\t\0\tb\n" + b"1\t1\t2\t\"" + b"a" * 2**23, "not readable"),
    ],
)  # fmt: skip
def test_refused_files(folder: Path, data: bytes, message: str) -> None:
    (folder / "aan" / "new_aan_pairs.train.tsv").write_bytes(data)
    with pytest.raises(S5Error, match=message):
        s5ref.data.load("retrieval", folder)


def test_an_archive_that_lacks_a_file(tmp_path: Path) -> None:
    files = {name: data for name, data in aan_files().items() if "eval" not in name}
    write_tree(tmp_path, {"lra_release.gz": gzip.compress(tar(files))})
    with pytest.raises(DataError, match=r"lacks eval"):
        s5ref.data.load("retrieval", tmp_path)
