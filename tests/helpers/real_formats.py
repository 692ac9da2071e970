"""Small files in the formats of the official data sets, as their authors' programs write them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator

BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")


def write_tree(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar file; mode "w:gz" or "w:xz" compresses it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cifar_images(name: str, n: int) -> tuple[Array, Array]:
    rng = generator("cifar", name)
    return rng.integers(0, 256, (n, 3072), np.uint8), np.arange(n, dtype=np.uint8) % 10


def cifar_binary(images: Array, labels: Array) -> bytes:
    return np.concatenate([labels[:, None], images], axis=1).tobytes()


def cifar_pickle(images: Array, labels: Array) -> bytes:
    """What Python 2's cPickle wrote, opcode by opcode."""

    def text(word: str) -> bytes:
        return b"U" + bytes([len(word)]) + word.encode()

    n, pixels = images.shape
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text("b") + b"\x87R"
    dtype = (
        b"cnumpy\ndtype\n" + text("u1") + b"K\0K\1\x87R(K\3" + text("|") + b"NNN" + 2 * b"J\xff\xff\xff\xff"
    )
    shape = b"M" + struct.pack("<H", n) + b"M" + struct.pack("<H", pixels) + b"\x86"
    data = b"T" + struct.pack("<i", images.size) + images.tobytes()
    state = b"(K\1" + shape + dtype + b"K\0tb\x89" + data + b"tb"
    numbers = b"]q\1(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\0(" + text("data") + reconstruct + state + text("labels") + numbers + b"u."


def cifar(kind: str, sizes: Mapping[str, int] | None = None) -> dict[str, bytes]:
    """The files of the binary version ("bin") or of Python's batches ("py")."""
    sizes = sizes or {name: 20 if name != "test_batch" else 10 for name in BATCHES}
    ending, write = {"bin": (".bin", cifar_binary), "py": ("", cifar_pickle)}[kind]
    files = {
        f"cifar-10-batches-{kind}/{n}{ending}": write(*cifar_images(n, size)) for n, size in sizes.items()
    }
    return files | {f"cifar-10-batches-{kind}/readme.html": b"<META>"}


WORDS = ["a", "film", "that", "was", "good", "bad", "été", "<br", "/>", "never", "seen", "it", "before…", "!"]


def reviews(split: str, n: int) -> list[tuple[int, int, int, str]]:
    """(label, number, rating, text)."""
    rng = generator("imdb", split)
    return [
        (label, number, (1 + number % 4, 7 + number % 4)[label], " ".join(rng.choice(WORDS, 5 + 9 * number)))
        for label in (0, 1) for number in range(n)
    ]  # fmt: skip


def imdb_tree(n: int = 6) -> dict[str, bytes]:
    files = {"aclImdb/README": b"Large Movie Review Dataset v1.0", "aclImdb/train/unsup/0_0.txt": b"no label"}
    for split in ("test", "train"):
        for label, number, rating, text in reviews(split, n):
            files[f"aclImdb/{split}/{('neg', 'pos')[label]}/{number}_{rating}.txt"] = text.encode()
    return files


def imdb_lines(split: str, n: int = 6) -> bytes:
    rows = (
        {"id": i, "rating": rating, "label": label, "text": text}
        for label, i, rating, text in reviews(split, n)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def aan_rows(split: str, n: int) -> list[tuple[int, str, str]]:
    """(label, text, text) of which some hold quotation marks, page feeds and line breaks."""
    rng = generator("aan", split)
    texts = [
        " ".join(rng.choice(["parsing", 'so-called "trees"', "of\x0cX", "n-grams."], k))
        for k in range(1, n + 2)
    ]
    return [(i % 2, texts[i], texts[i + 1]) for i in range(n)]


def aan(split: str, n: int = 12) -> bytes:
    rows = (f"{label}\t{i}\t{i + 1}\t{a}\t{b}\n" for i, (label, a, b) in enumerate(aan_rows(split, n)))
    return "".join(rows).encode()


def aan_files(n: int = 12) -> dict[str, bytes]:
    return {f"new_aan_pairs.{split}.tsv": aan(split, n) for split in ("train", "eval", "test")}


def png(pixels: Array) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pathfinder_images(side: int, n: int) -> tuple[Array, Array]:
    rng = generator("pathfinder", side)
    return rng.integers(0, 256, (n, side, side), np.uint8), (np.arange(n) % 3 == 0).astype(np.uint8)


def pathfinder(side: int = 32, n: int = 40) -> dict[str, bytes]:
    """n images in two folders, metadata last."""
    images, labels = pathfinder_images(side, n)
    files, lines = {}, ["", ""]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        at, k = divmod(i, n // 2)
        name = f"imgs/{at} sample_{k}.png"
        files[name.replace(" ", "/")] = png(image)
        lines[at] += f"{name} {k} {label} 1.0 14 4 2 0.5 1 1\n"
    files |= {f"metadata/{at}.npy": text.encode() for at, text in enumerate(lines)}
    return {f"pathfinder{side}/curv_contour_length_14/{name}": data for name, data in files.items()}


def wav(samples: Array, rate: int = 16000, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as clip:
        clip.setnchannels(channels)
        clip.setsampwidth(2)
        clip.setframerate(rate)
        clip.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def speech_clips(words: tuple[str, ...] = ("yes", "no", "zero"), n: int = 8) -> dict[str, Array]:
    """Tones whose pitch says the word, of one second or a little less."""
    clips = {}
    for k, word in enumerate(words):
        for i in range(n):
            rng = generator("speech", word, i)
            t = np.arange(16000 - 100 * (i % 3)) / 16000
            tone = np.sin(2 * np.pi * 200 * (k + 1) * t) + 0.1 * rng.standard_normal(len(t))
            clips[f"{word}/{i:08x}_nohash_{i % 2}.wav"] = (8000 * tone).astype(np.int16)
    return clips


def speech(lists: bool = True, **how: Any) -> dict[str, bytes]:
    clips = speech_clips(**how)
    files = {name: wav(samples) for name, samples in clips.items()}
    files["_background_noise_/doing_the_dishes.wav"] = wav(np.zeros(20000, np.int16))
    if lists:
        names = list(clips)
        files["validation_list.txt"] = "".join(f"{name}\n" for name in names[::4]).encode()
        files["testing_list.txt"] = "".join(f"{name}\n" for name in names[1::4]).encode()
    return files


class Calls:
    """Pickles as a call of ``function``: what a file of CIFAR-10 must never be."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def calling_pickle(function: Any, *args: Any) -> bytes:
    return pickle.dumps({"data": Calls(function, *args), "labels": [0]}, 2)
