"""ListOps as a data set: vocabulary, files of every form, the cache, and damage."""

from __future__ import annotations

import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import s5ref.data
from s5ref.arrays import Array
from s5ref.data import listops, listops_files
from s5ref.data.listops_generator import Rows, text
from s5ref.data.listops_grammar import NAMES
from s5ref.data.lookup import find
from s5ref.errors import S5Error
from s5ref.files import reading

SIZES = (600, 40, 30)
SPLITS = ("train", "val", "test")
HEADER = b"Source\tTarget\r\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return listops_files.make(tmp_path_factory.mktemp("data") / "listops", 0, SIZES)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    copy = tmp_path / "listops"
    copy.mkdir()
    for path in original.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def transcription(folder: Path) -> dict[str, list[tuple[list[int], int]]]:
    """The specification in plain Python: tokens, vocabulary, numbers."""
    rows = {}
    for split in SPLITS:
        lines = (folder / f"basic_{split}.tsv").read_text().splitlines()[1:]
        pairs = [line.split("\t") for line in lines]
        rows[split] = [
            ([t.replace("]", "X") for t in source.split() if t not in "()"][:2047], int(target))
            for source, target in pairs
        ]
    counts = Counter(token for tokens, _ in rows["train"] for token in tokens)
    names = ["<pad>", "<unk>", "<eos>", *sorted(counts, key=lambda token: (-counts[token], token))]
    index = {name: i for i, name in enumerate(names)}
    return {
        split: [([*(index.get(t, 1) for t in tokens), 2], target) for tokens, target in examples]
        for split, examples in rows.items()
    }


def test_dataset_equals_the_transcription(original: Path) -> None:
    dataset = s5ref.data.load("listops", original.parent)
    assert dataset.source == "partial: 600/40/30 of 96000/2000/2000 examples, regenerated, seed 0"
    for split, want in zip(dataset.splits().values(), transcription(original).values(), strict=True):
        batch = split.batch(np.arange(len(split)))
        assert split.inputs.dtype == np.uint8
        assert batch.inputs.shape == (len(want), 2048)
        assert batch.inputs.dtype == np.int64
        assert batch.targets is not None
        assert batch.lengths is not None
        assert batch.targets.tolist() == [target for _, target in want]
        assert batch.lengths.tolist() == [len(tokens) for tokens, _ in want]
        for row, (tokens, _) in zip(batch.inputs.tolist(), want, strict=True):
            assert row == tokens + [0] * (2048 - len(tokens))
    assert dataset.train.inputs.max() == 17


def test_vocabulary_is_by_frequency_then_lexicographic() -> None:
    codes = np.array([[14, 14, 14, 3, 3, 10, 10, 5, len(NAMES), len(NAMES) + 1]])
    names, table = listops.vocabulary(codes)
    assert names == ["<pad>", "<unk>", "<eos>", "X", "3", "[MIN", "5"]
    assert table[[14, 3, 10, 5, len(NAMES), len(NAMES) + 1]].tolist() == [3, 4, 5, 6, 2, 0]
    assert set(table[[0, 1, 2, 4, 11, 12, 13]].tolist()) == {1}


def write(folder: Path, train: bytes, other: bytes = b"7\t7\r\n") -> Path:
    for split in SPLITS:
        (folder / f"basic_{split}.tsv").write_bytes(HEADER + (train if split == "train" else other))
    return folder


def test_tokens_that_training_lacks_are_unknown(tmp_path: Path) -> None:
    dataset = s5ref.data.load("listops", write(tmp_path, b"( ( [SM 3 ) ] )\t3\r\n", b"8\t8"))
    assert dataset.validation.inputs[0, :3].tolist() == [1, 2, 0]
    assert dataset.train.inputs[0, :5].tolist() == [5, 3, 4, 2, 0]  # once each: 3, X, [SM in this order
    assert dataset.validation.lengths is not None
    assert dataset.validation.lengths[0] == 2


def test_long_rows_are_cut_to_2047_tokens_and_eos(tmp_path: Path) -> None:
    dataset = s5ref.data.load("listops", write(tmp_path, b"[MAX " + b"4 " * 3000 + b"]\t4\n"))
    assert dataset.train.lengths is not None
    assert dataset.train.lengths[0] == 2048
    assert dataset.train.inputs[0, -1] == 2
    assert (dataset.train.inputs[0] > 2).sum() == 2047


@pytest.mark.parametrize("prefix", ["basic", "lra_format_basic"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_every_form_of_the_files(original: Path, tmp_path: Path, prefix: str, suffix: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
    pack = packers[suffix]
    for split in SPLITS[1:]:
        data = (original / f"basic_{split}.tsv").read_bytes()
        (tmp_path / f"{prefix}_{split}.tsv{suffix}").write_bytes(pack(data))
    train = (original / "basic_val.tsv").read_bytes()
    (tmp_path / f"{prefix}_train.tsv{suffix}").write_bytes(pack(train))
    dataset = s5ref.data.load("listops", tmp_path)
    assert dataset.test is not None
    assert [len(split) for split in dataset.splits().values()] == [40, 40, 30]
    assert dataset.source == "partial: 40/40/30 of 96000/2000/2000 examples"


def test_blocks_do_not_matter(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = listops.read_rows(original / "basic_test.tsv")
    for size in (1000, 10007):
        monkeypatch.setattr(listops, "_BLOCK", size)
        for a, b in zip(listops.read_rows(original / "basic_test.tsv"), want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_line_numbers_count_across_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "basic_test.tsv"
    lines = path.read_bytes().split(b"\r\n")
    lines[20] = lines[20].replace(b"[", b"{", 1)
    path.write_bytes(b"\r\n".join(lines))
    for size in (1000, 1 << 24):
        monkeypatch.setattr(listops, "_BLOCK", size)
        with pytest.raises(S5Error, match=r"basic_test\.tsv, line 21: tokens must be among"):
            listops.read_rows(path)


def test_parsed_once(original: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = s5ref.data.load("listops", original)
    assert len(list((cache / "parsed").glob("listops*"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(listops, "read_rows", None)
        again = s5ref.data.load("listops", original)
    for a, b in zip(first.splits().values(), again.splits().values(), strict=True):
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.targets, b.targets)
    assert again.source == first.source


def test_a_damaged_cache_is_rebuilt_and_an_unwritable_one_done_without(
    original: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s5ref.data.load("listops", original)
    (parsed,) = (cache / "parsed").iterdir()
    whole = {path.name: path.read_bytes() for path in parsed.iterdir()}
    assert set(whole) == {"manifest.json"} | {
        f"{split}_{what}.npy" for split in SPLITS for what in ("inputs", "lengths", "targets")
    }
    for name, data in whole.items():
        middle = len(data) // 2
        for damage in (data[:-2], b"", data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]):
            (parsed / name).write_bytes(damage)
            assert len(s5ref.data.load("listops", original).train) == 600
            assert (parsed / name).read_bytes() == data
        (parsed / name).unlink()
        assert len(s5ref.data.load("listops", original).train) == 600
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("S5REF_CACHE", str(tmp_path / "file" / "cache"))
    assert len(s5ref.data.load("listops", original).train) == 600


def test_a_data_folder_is_never_written_to(original: Path) -> None:
    before = sorted(path.name for path in original.parent.rglob("*"))
    s5ref.data.load("listops", original.parent)
    assert sorted(path.name for path in original.parent.rglob("*")) == before


@pytest.mark.parametrize("damage", ["changed", "cut", "swapped"])
def test_generated_files_that_differ_from_their_manifest_are_refused(folder: Path, damage: str) -> None:
    assert s5ref.data.check("listops", folder).ok
    s5ref.data.load("listops", folder)  # fills the cache
    path = folder / "basic_train.tsv"
    data = path.read_bytes()
    if damage == "changed":
        path.write_bytes(data.replace(b"7", b"8", 1))
    elif damage == "cut":  # at the end of a line: nothing but the checksum can tell
        path.write_bytes(data[: data.rindex(b"\r\n", 0, -2) + 2])
    else:
        path.write_bytes((folder / "basic_val.tsv").read_bytes())
    with pytest.raises(S5Error, match=r"basic_train\.tsv: SHA-256 must be"):
        s5ref.data.load("listops", folder)
    report = s5ref.data.check("listops", folder)
    assert not report.ok
    assert "basic_train.tsv" in report.problem


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_compressed_files_are_held_against_the_manifest_too(folder: Path, suffix: str) -> None:
    """A digit that changes no row's value: nothing but the checksum of the content can tell."""
    pack = gzip.compress if suffix == ".gz" else lzma.compress
    path = folder / "basic_val.tsv"
    data = path.read_bytes()
    path.unlink()
    path.with_name(path.name + suffix).write_bytes(pack(data))
    assert s5ref.data.check("listops", folder).source.endswith("regenerated, seed 0")
    lines = data.split(b"\r\n")
    lines[1:3] = lines[2:0:-1]
    path.with_name(path.name + suffix).write_bytes(pack(b"\r\n".join(lines)))
    with pytest.raises(S5Error, match=r"basic_val\.tsv.*: SHA-256 must be"):
        s5ref.data.load("listops", folder)


def test_doubled_rows_are_refused_by_line(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    path = folder / "basic_test.tsv"
    lines = path.read_bytes().split(b"\r\n")
    lines[7] = lines[3]
    path.write_bytes(b"\r\n".join(lines))
    with pytest.raises(S5Error, match=r"basic_test\.tsv: rows must differ; line 8 has .* line 4"):
        s5ref.data.load("listops", folder)


def test_a_file_of_more_rows_than_the_release_is_refused_before_they_are_read(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    rows = gzip.compress(HEADER + b"7\t7\r\n" * 2**17)
    (folder / "basic_test.tsv").unlink()
    (folder / "basic_test.tsv.gz").write_bytes(rows)
    with pytest.raises(S5Error, match=r"basic_test\.tsv\.gz: must hold at most 2000 examples"):
        s5ref.data.load("listops", folder)
    (folder / "basic_test.tsv.gz").write_bytes(gzip.compress(HEADER + b"7" * 2**25))
    with pytest.raises(S5Error, match="a line must have at most"):
        s5ref.data.load("listops", folder)


@pytest.mark.parametrize("lacks", ["seed", "sizes"])
def test_a_manifest_that_lacks_something_is_refused(folder: Path, lacks: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != lacks}))
    with pytest.raises(S5Error, match="must be the manifest of a generated ListOps"):
        s5ref.data.load("listops", folder)


def test_check_reads_past_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s5ref.data.load("listops", folder)
    read: list[Path] = []
    read_rows = listops.read_rows

    def counting(path: Path, most: int) -> tuple[Array, Array, Array]:
        read.append(path)
        return read_rows(path, most=most)

    monkeypatch.setattr(listops, "read_rows", counting)
    report = s5ref.data.check("listops", folder)
    assert report.ok
    assert len(read) == len(report.files) == 3
    assert report.counts == {"train": 600, "validation": 40, "test": 30}
    assert 0.1 < report.majority["train"] < 0.25


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_truncated_compressed_files_are_refused_by_name(folder: Path, suffix: str) -> None:
    (folder / "manifest.json").unlink()
    path = folder / "basic_val.tsv"
    data = (gzip.compress if suffix == ".gz" else lzma.compress)(path.read_bytes())
    path.unlink()
    path.with_name(path.name + suffix).write_bytes(data[: len(data) // 2])
    with pytest.raises(S5Error, match=rf"basic_val\.tsv\{suffix}: must be a whole"):
        s5ref.data.load("listops", folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: must be the header"),
        (b"Target\tSource\r\n", "line 1: must be the header"),
        (HEADER, "must hold at least one example"),
    ],
)
def test_headers(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, b"7\t7\r\n")
    (tmp_path / "basic_test.tsv").write_bytes(content)
    with pytest.raises(S5Error, match=message) as caught:
        s5ref.data.load("listops", tmp_path)
    assert str(tmp_path / "basic_test.tsv") in caught.value.message


def test_real_files(real_data: Path) -> None:
    """Rows made with the original generator: read, evaluated, and rendered back byte for byte."""
    if not (real_data / "listops").is_dir():
        pytest.skip("S5REF_DATA has no listops folder")
    dataset = s5ref.data.load("listops", real_data)
    assert dataset.test is not None
    assert dataset.train.inputs.max() == 17
    assert dataset.train.lengths is not None
    assert dataset.train.lengths.min() >= 502
    assert dataset.train.lengths.max() <= 2000
    for path in find(dataset.task, real_data):
        with reading(path) as stream:
            data = stream.read().removeprefix(HEADER)
        flat, offsets, targets = listops._parse(path, 2, data)
        assert text(Rows(flat[: offsets[-1]], offsets, targets, 0)) == data
