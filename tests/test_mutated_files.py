"""Damaged files of every format: refused as S5Error, or read; in little memory, without a traceback.

A mutation that is read may give the same arrays (bytes that nothing reads) or other ones (a changed number,
where the format has no checksum). The formats that have one must never give other arrays.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
import real_formats
from memory import peak

from s5ref import DataError, S5Error
from s5ref.cpu.kernel_cache import KernelCache
from s5ref.data import aan, cifar, images, imdb, listops, pathfinder, pendulum, speech, stored
from s5ref.estimators import S5FeatureRegressor, folder
from s5ref.interop import flax, pt, safetensors
from s5ref.random import generator
from s5ref.series import read
from s5ref.train import checkpoint, environment, metrics, runs
from s5ref.train.config import RunConfig
from s5ref.verification.conformance.vectors import store

ARRAYS = {"a": np.arange(60, dtype="f4").reshape(6, 10), "b": np.arange(7.0), "c": np.array(3)}
ROWS = b"Source\tTarget\r\n" + b"".join(b"( ( ( [MAX %d ) %d ) ] )\t9\r\n" % (i, 9) for i in range(9))
MUTATIONS = ("truncate", "flip", "duplicate", "splice", "zero")
LIMIT = 2**25  # bytes; the files have a few thousand, and text is read in blocks of 2**24


def torch_zip() -> bytes:
    """What torch.save writes for one tensor."""
    pickled = (
        b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03"
        b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K<tq\x07QK\x00K\x06K\n\x86q\x08K\nK"
        b"\x01\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", ARRAYS["a"].tobytes())
    return buffer.getvalue()


def saved(path: Path) -> bytes:
    checkpoint.save(path, ARRAYS, {"step": 1})
    return path.read_bytes()


def idx(path: Path) -> dict[str, Any]:
    from s5ref.files import reading

    with reading(path) as stream:
        shape = images.read_idx_shape(path, stream, 1)
        images._check_official(path, images.Official("labels", 60, "", ""), shape)
        return {"x": images.read_idx_values(path, stream, shape)}


def by_bytes(read: Callable[[bytes, str], dict[str, Any]]) -> Callable[[Path], dict[str, Any]]:
    return lambda path: read(path.read_bytes(), str(path))


class Format(NamedTuple):
    """Its name; the whole file; its reader; whether a checksum finds every other number."""

    file: str
    whole: Callable[[Path], bytes]
    read: Callable[[Path], dict[str, Any]]
    checked: bool


def kernel(path: Path) -> bytes:
    """The file of a compiled function."""
    dispatcher: Any = numba.njit(double)
    dispatcher._cache = KernelCache(double, path.parent)
    dispatcher(1.0)
    (file,) = path.parent.glob("*.kernel")
    data = file.read_bytes()
    file.unlink()
    return data


def compiled(path: Path) -> dict[str, Any]:
    """A damaged file of a compiled function is taken for none, and that is its refusal."""
    dispatcher: Any = numba.njit(double)
    cache: Any = KernelCache(double, path.parent)
    signature = numba.float64(numba.float64)
    cache._path = lambda _: path
    if cache.load_overload(signature, dispatcher.targetctx) is None:
        raise DataError("no compiled function", "")
    return {}


def double(x: float) -> float:
    return 2 * x


def vectors(path: Path) -> bytes:
    """A file of two conformance vectors; the others stand beside it."""
    for name, data in store.written(store.load("scan/reverse/L9/P3/*")).items():
        (path.parent / name).write_bytes(data)
    return path.read_bytes()


def read_vectors(path: Path) -> dict[str, Any]:
    return {v.id: (v.facts, v.arrays) for v in store.load(folder=path.parent)}


FACTS = environment.environment("numpy") | {"seed": 1, "data": {"sha256": "0"}}
RESULT = {
    "steps": 4, "source": "official", "selected_on": "validation", "learned": True, "test_accuracy": 0.5,
    "test_mse": None,
}  # fmt: skip
LINES = b"".join(
    b'{"step": %d, "epoch": 1, "loss": 2.5, "lr": 0.004, "ssm_lr": 0.001}\n' % i for i in range(1, 9)
)
WIDE = b"label," + b",".join(b"%s_%d" % (c, k) for c in (b"temp", b"hum") for k in range(8)) + b"\n"
WIDE += b"".join(
    b"%s,%s\n" % (b"ab"[i % 2 :][:1], b",".join(b"%d.5" % (i * k) for k in range(16))) for i in range(12)
)
LONG = b"id,time,temp,hum,fat\n" + b"".join(
    b"p%d,2026-01-%02dT12:00:00,%d.25,,%d.5\n" % (i, 2 * k + 1, k, i) if k % 3 else
    b"p%d,2026-01-%02dT12:00:00,%d.25,%d,%d.5\n" % (i, 2 * k + 1, k, i * k, i)
    for i in range(6) for k in range(7)
)  # fmt: skip
SERIES = {
    "X": np.arange(60.0).reshape(6, 10) ** 2,
    "y": np.array(list("aabbab")),
    "times": np.arange(10) * 0.5,
}


def saved_arrays(save: Callable[..., None], *args: Any, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *args, **arrays)
    return buffer.getvalue()


def parquet() -> bytes:
    import pandas

    frame = pandas.read_csv(io.BytesIO(LONG))
    return bytes(frame.to_parquet())


def series(**columns: str) -> Callable[[Path], dict[str, Any]]:
    def reader(path: Path) -> dict[str, Any]:
        with warnings.catch_warnings(action="ignore"):
            table = read(path, **columns)  # type: ignore[arg-type]
        found = table.series
        assert table.description  # can be told, whatever was read
        return {"values": found.values, "offsets": found.offsets, "times": found.times, "y": table.y}

    return reader


def estimator(path: Path) -> bytes:
    """What `s5ref fit` writes."""
    values = np.random.default_rng(0).standard_normal((6, 12))
    facts = {"file": "a.csv", "description": "", "method": "", "seconds": 1.0, "read": {"task": "real"},
             "left_out": 0.5, "test": None, "test_file": None}  # fmt: skip
    folder.write(path.parent, S5FeatureRegressor(4, random_state=0).fit(values, np.arange(6.0)), facts)
    return path.read_bytes()


def fitted(path: Path) -> dict[str, Any]:
    read_back, facts = folder.read(path.parent)
    return {"coef": read_back.coef_, "filters": read_back.features_.filters_, "facts": facts}


def videos() -> bytes:
    """Two sequences of the pendulum set, compressed as the authors do it."""
    angle = np.linspace(0, 3, 200).reshape(2, 100)
    frames = np.zeros((2, 100, 24, 24, 1), np.uint8)
    targets = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    each = {f"{split}_obs": frames for split in pendulum.SPLITS}
    return saved_arrays(
        np.savez_compressed, **each, **{f"{split}_targets": targets for split in pendulum.SPLITS}
    )


def read_videos(path: Path) -> dict[str, Any]:
    return {split: tuple(found) for split, found in pendulum.read(path).items()}


def by_content(read: Callable[..., Any], *more: Any) -> Callable[[Path], dict[str, Any]]:
    """A reader of (content, …, name) that returns one array or several."""

    def reader(path: Path) -> dict[str, Any]:
        found = read(path.read_bytes(), *more, str(path))
        return dict(enumerate_rows(found if isinstance(found, tuple) else (found,)))

    return reader


def cifar_archive(path: Path) -> dict[str, Any]:
    return dict(cifar.read((path,))[0])


def pairs(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"pairs": list(aan.read_pairs(stream, str(path)))}


def stored_folder(path: Path) -> bytes:
    """The file of two stored arrays that ``path`` names; the others stand beside it."""
    with stored.writing_arrays(path.parent / "new", {"seed": 1}) as arrays:
        arrays |= ARRAYS
    for file in (path.parent / "new").iterdir():
        file.rename(path.parent / file.name)
    (path.parent / "new").rmdir()
    return path.read_bytes()


def read_stored(path: Path) -> dict[str, Any]:
    arrays, facts = stored.read_arrays(path.parent, "")
    return {name: np.array(x) for name, x in arrays.items()} | facts


TWO = real_formats.cifar_images("two", 2)
BATCHES = dict.fromkeys(("data_batch_1", "test_batch"), 1)
METADATA = b"".join(b"imgs/0 sample_%d.png %d %d 1.0 14 4 2 0.5 1 1\n" % (i, i, i % 2) for i in range(20))
IDX = b"\0\0\x08\x01\0\0\0\x3c" + bytes(range(60))
FORMATS = {
    "npz": Format("x.npz", lambda _: flax.npz_dumps(ARRAYS), by_bytes(flax.npz_loads), True),
    "pt": Format("x.pt", lambda _: torch_zip(), by_bytes(pt.loads), True),
    "safetensors": Format(
        "x.safetensors", lambda _: safetensors.dumps(ARRAYS), by_bytes(safetensors.loads), False
    ),
    "msgpack": Format("x.msgpack", lambda _: flax.msgpack_dumps(ARRAYS), by_bytes(flax.msgpack_loads), False),
    "checkpoint": Format("x.npz", saved, lambda path: checkpoint.load(path)[0], True),
    "idx": Format("x", lambda _: IDX, idx, False),
    "idx.gz": Format("x.gz", lambda _: gzip.compress(IDX, mtime=0), idx, True),
    "config": Format(
        "config.toml",
        lambda _: RunConfig.recipe("digits").to_toml().encode(),
        lambda path: {"config": runs.read_config(path.parent)},
        False,
    ),
    "environment": Format(
        "environment.json",
        lambda _: json.dumps(FACTS).encode(),
        lambda path: {"facts": environment.read(path.parent)},
        False,
    ),
    "result": Format(
        "result.json",
        lambda _: json.dumps(RESULT).encode(),
        lambda path: {"facts": runs.read_result(path.parent, 4)},
        False,
    ),
    "seeds": Format(
        "seeds.json", lambda _: b"[0, 1, 2, 30]", lambda path: {"seeds": runs.read_seeds(path.parent)}, False
    ),
    "metrics": Format(
        "metrics.jsonl", lambda _: LINES, lambda path: {"lines": metrics.read(path.parent)}, False
    ),
    "kernel": Format("f.kernel", kernel, compiled, True),
    "wide csv": Format("x.csv", lambda _: WIDE, series(target="label"), False),
    "long csv": Format("x.csv", lambda _: LONG, series(id="id", time="time", target="fat"), False),
    "series npz": Format("x.npz", lambda _: saved_arrays(np.savez, **SERIES), series(), True),
    "npy": Format("x.npy", lambda _: saved_arrays(np.save, SERIES["X"]), series(), False),
    "parquet": Format("x.parquet", lambda _: parquet(), series(id="id", time="time", target="fat"), False),
    "idx.xz": Format("x.xz", lambda _: lzma.compress(IDX), idx, True),
    "estimator": Format("estimator.npz", estimator, fitted, True),
    "fit.json": Format("fit.json", estimator, fitted, False),
    "vectors": Format("scan.npz", vectors, read_vectors, True),
    "manifest": Format("manifest.json", vectors, read_vectors, True),
    "pendulum": Format("x.npz", lambda _: videos(), read_videos, True),
    "cifar bin": Format(
        "x.bin", lambda _: real_formats.cifar_binary(*TWO), by_content(cifar.read_binary), False
    ),
    "cifar pickle": Format(
        "x", lambda _: real_formats.cifar_pickle(*TWO), by_content(cifar.read_pickle), False
    ),
    "cifar tar.gz": Format(
        "cifar-10-binary.tar.gz",
        lambda _: gzip.compress(real_formats.tar(real_formats.cifar("bin", BATCHES)), mtime=0),
        cifar_archive,
        True,
    ),
    "imdb tar.xz": Format(
        "x.tar.xz", lambda _: lzma.compress(real_formats.tar(real_formats.imdb_tree(2))), imdb.read_tree, True
    ),
    "imdb tar": Format("x.tar", lambda _: real_formats.tar(real_formats.imdb_tree(2)), imdb.read_tree, False),
    "imdb lines": Format(
        "x.jsonl",
        lambda _: real_formats.imdb_lines("train"),
        lambda path: {"reviews": list(imdb.read_lines(path))},
        False,
    ),
    "aan": Format("x.tsv", lambda _: real_formats.aan("train"), pairs, False),
    "png": Format(
        "x.png",
        lambda _: real_formats.png(real_formats.pathfinder_images(32, 1)[0][0]),
        by_content(pathfinder.read_png, 32),
        True,
    ),
    "metadata": Format(
        "0.npy",
        lambda _: METADATA,
        lambda path: {"rows": pathfinder.read_metadata(path.read_bytes(), str(path))},
        False,
    ),
    "wav": Format(
        "x.wav",
        lambda _: real_formats.wav(np.arange(-900, 900, dtype=np.int16)),
        by_content(speech.read_wav),
        False,
    ),
    "stored": Format("manifest.json", stored_folder, read_stored, True),
    "stored npy": Format("a.npy", stored_folder, read_stored, True),
    "tsv": Format("x.tsv", lambda _: ROWS, lambda p: dict(enumerate_rows(listops.read_rows(p, 64))), False),
}


def enumerate_rows(arrays: tuple[Any, ...]) -> list[tuple[str, Any]]:
    return [(str(i), x) for i, x in enumerate(arrays)]


def mutated(data: bytes, how: str, rng: np.random.Generator) -> bytes:
    i, j = sorted(int(k) for k in rng.integers(0, len(data), 2))
    if how == "truncate":
        return data[:i]
    if how == "flip":
        changed = bytearray(data)
        for at in rng.integers(0, len(data), int(rng.integers(1, 4))):
            changed[at] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    if how == "duplicate":
        return data[:j] + data[i:]
    if how == "splice":
        k = int(rng.integers(0, len(data)))
        return data[:i] + data[k : k + j - i] + data[j:]
    return data[:i] + bytes(min(j - i, 16)) + data[min(j, i + 16) :]


def outcome(form: Format, path: Path, want: bytes) -> str:
    """ "refused", "same", "changed", or what is wrong."""
    found: list[str] = []

    def attempt() -> None:
        try:
            found.append("same" if pickle.dumps(form.read(path)) == want else "changed")
        except S5Error as error:
            found.append("refused" if len(str(error)) < 4000 else "a message of pages")
        except Exception as error:  # what would be a traceback
            found.append(f"{type(error).__name__}: {error}")

    memory = peak(attempt)
    return found[0] if memory < LIMIT else f"{memory} bytes"


@pytest.mark.parametrize("n", [100, pytest.param(2000, marks=pytest.mark.slow)])  # of each mutation
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str, n: int) -> None:
    form = FORMATS[name]
    path = tmp_path / form.file
    whole = form.whole(path)
    path.write_bytes(whole)
    want = pickle.dumps(form.read(path))
    counts: Counter[str] = Counter()
    for how in MUTATIONS:
        for i in range(n):
            path.write_bytes(mutated(whole, how, generator("mutated", name, how, i)))
            counts[outcome(form, path, want)] += 1
    print(name, dict(counts))
    allowed = {"refused", "same"} if form.checked else {"refused", "same", "changed"}
    assert set(counts) <= allowed
    assert counts["refused"] > n
