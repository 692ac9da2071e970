"""Speech Commands: waves, official lists, upstream's standardisation, the view at 8 kHz."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
from memory import peak
from real_formats import speech, speech_clips, tar, wav, write_tree

import s5ref.data
from s5ref.data import speech as reader
from s5ref.errors import DataError, S5Error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "speech_commands" / "speech_commands_v0.02", speech()).parents[1]


def test_folder_and_archive_split_by_the_lists(folder: Path, tmp_path: Path) -> None:
    archive = {f"./{name}": data for name, data in reversed(speech().items())}
    other = write_tree(tmp_path / "b", {"speech_commands_v0.02.tar.gz": gzip.compress(tar(archive))})
    inside = write_tree(tmp_path / "c" / "speech_commands", speech()).parent
    clips = speech_clips()
    names = sorted(clips, key=lambda name: (reader.WORDS.index(name.partition("/")[0]), name))
    listed = list(clips)
    parts = [
        [n for n in names if listed.index(n) % 4 not in (0, 1)],
        [n for n in names if listed.index(n) % 4 == 0],
        [n for n in names if listed.index(n) % 4 == 1],
    ]
    for where in (folder, other, inside):
        dataset = s5ref.data.load("speech35", where)
        assert dataset.source == "partial: 12/6/6 of 84843/9981/11005 examples"
        for split, part in zip(dataset.splits().values(), parts, strict=True):
            assert split.inputs.dtype == np.int16
            want = [np.pad(clips[n], (0, 16000 - len(clips[n]))) for n in part]
            np.testing.assert_array_equal(np.asarray(split.inputs), want)
            assert split.targets.tolist() == [reader.WORDS.index(n.partition("/")[0]) for n in part]


def test_upstreams_standardisation(folder: Path) -> None:
    """÷ 2¹⁵ twice, then each step by its mean and deviation (n − 1) over the training set."""
    dataset = s5ref.data.load("speech35", folder)
    raw = np.asarray(dataset.train.inputs).astype(np.float64) / 2**15 / 2**15
    mean, std = raw.mean(axis=0), raw.std(axis=0, ddof=1)
    for split in dataset.splits().values():
        x = np.asarray(split.inputs).astype(np.float64) / 2**30
        got = split.batch(np.arange(len(split)), "float64").inputs
        assert got.shape == (len(split), 16000, 1)
        np.testing.assert_allclose(got[..., 0], (x - mean) / (std + 1e-5), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(split.batch(np.arange(len(split))).inputs, got, rtol=2e-6, atol=1e-6)


def test_8_khz_is_every_second_step_of_16(folder: Path) -> None:
    test = s5ref.data.load("speech35", folder).test
    assert test is not None
    half = test.every(2)
    assert half.inputs.shape == (6, 8000)
    np.testing.assert_array_equal(half.batch([4, 1]).inputs, test.batch([4, 1]).inputs[:, ::2])
    np.testing.assert_array_equal(half.targets, test.targets)


def test_memory_does_not_grow_with_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 clips are 9.6 MB; decoding them, and opening them again, keeps a block of 16 in memory."""
    monkeypatch.setattr(reader, "_BLOCK", 16)
    write_tree(tmp_path / "speech_commands_v0.02", speech(n=100))

    def load() -> None:
        train = s5ref.data.load("speech35", tmp_path).train
        train.batch(np.arange(8))

    for most in (9e6, 4e6):  # decode, then the cache
        assert peak(load) < most


def test_every_step_needs_regular_real_sequences() -> None:
    digits = s5ref.data.load("digits").train
    np.testing.assert_array_equal(digits.every(4).batch([3]).inputs, digits.batch([3]).inputs[:, ::4])
    for k, split in (
        (0, digits),
        (2, s5ref.data.Split(digits.inputs, digits.targets, digits.prepare, np.full(len(digits), 9))),
    ):
        with pytest.raises(S5Error, match="Every k-th step"):
            split.every(k)


def test_without_lists_no_speaker_is_in_two_splits(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {f"speech_commands_v0.02/{name}": data for name, data in speech(False, n=16).items()}
    )
    dataset = s5ref.data.load("speech35", tmp_path)
    assert dataset.source.endswith("split by speaker without the official lists")
    assert dataset.source.startswith("partial: ")
    owners = [
        {name.partition("/")[2][:8] for name in speech_clips(n=16) if reader._by_speaker(name) == split}
        for split in range(3)
    ]
    assert all(owners)
    assert sum(map(len, owners)) == 16


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("yes/00000000_nohash_0.wav", wav(np.zeros(100, np.int16), 8000), "1 channel of 16 bits at 16000 Hz"),
        ("yes/00000000_nohash_0.wav", wav(np.zeros(100, np.int16), channels=2), "1 channel"),
        ("yes/00000000_nohash_0.wav", wav(np.zeros(16001, np.int16)), "1 to 16000 samples"),
        ("yes/00000000_nohash_0.wav", wav(np.zeros(0, np.int16)), "1 to 16000 samples"),
        ("yes/00000000_nohash_0.wav", wav(np.ones(100, np.int16))[:-7], "must hold 100 samples"),
        ("yes/00000000_nohash_0.wav", b"RIFF", "not readable as WAV"),
        ("yess/00000000_nohash_0.wav", wav(np.zeros(100, np.int16)), "one of the 35 words; got 'yess'"),
        ("testing_list.txt", b"\xff\xfe", "must be UTF-8"),
    ],
)  # fmt: skip
def test_refused_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    write_tree(tmp_path / "speech_commands_v0.02", speech() | {name: data})
    with pytest.raises(DataError, match=message):
        s5ref.data.load("speech35", tmp_path)


def test_one_list_is_refused(tmp_path: Path) -> None:
    write_tree(
        tmp_path / "speech_commands_v0.02", {n: d for n, d in speech().items() if not n.startswith("test")}
    )
    with pytest.raises(DataError, match=r"both lists or none; got validation_list\.txt"):
        s5ref.data.load("speech35", tmp_path)


def test_real_clips(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "speech_commands" / "sc10_v0.02_testset_150per.tar.xz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with lzma.open(path) as stream, tarfile.open(fileobj=stream) as archive:
        archive.extractall(tmp_path, filter="data")
    dataset = s5ref.data.load("speech35", tmp_path)
    assert sum(len(split) for split in dataset.splits().values()) == 1500
    x = dataset.train.batch(np.arange(100)).inputs
    assert 0.1 < x.std() < 0.3  # 1e-5 is larger than the deviations of waves divided by 2³⁰
