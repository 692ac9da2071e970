"""ListOps: reading the release's tab-separated files, or our own of the same form, as sequences of tokens.

Tokens are separated by blanks; parentheses are dropped and ``]`` is called ``X``. A row is tokens[:L−1]
and <eos>, padded to L = 2048; lengths include <eos>. Vocabulary: <pad> 0, <unk> 1, <eos> 2, then the tokens
of the training split by falling frequency, ties in lexicographic order. Every expression is evaluated: a
wrong target is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s5ref.arrays import Array
from s5ref.data import listops_files
from s5ref.data import listops_grammar as grammar
from s5ref.data.batches import Dataset, Split, to_tokens
from s5ref.data.listops_files import MANIFEST, SPLITS, content_name, read_manifest, verify
from s5ref.data.lookup import find, partial
from s5ref.data.making import Making
from s5ref.data.parsed import parsed
from s5ref.data.stored import Arrays
from s5ref.data.tasks import TASKS, Task
from s5ref.errors import DataError
from s5ref.files import reading

PAD, UNK, EOS = 0, 1, 2
_N = len(grammar.NAMES)
_BLOCK = 1 << 24
_LONGEST = 1 << 20  # bytes of a line; the release's have less than 32,000
_REMEDY = "Get the file again, or make the data with `s5ref data listops --make`."
_FAULTS = {
    grammar.UNKNOWN_TOKEN: f"tokens must be among ( ) {' '.join(grammar.NAMES)}, separated by blanks",
    grammar.PARENTHESES: "parentheses must be balanced",
    grammar.NO_TARGET: "a row must be Source, a tab and Target",
    grammar.BAD_TARGET: "Target must be one digit and end the line",
    grammar.MALFORMED: "Source must be one expression: every operator closed and with at least one argument",
    grammar.TOO_DEEP: f"operators must be nested at most {grammar.MAX_DEPTH} deep",
}


def read_rows(
    path: Path, length: int = TASKS["listops"].length, most: int = TASKS["listops"].train_size
) -> tuple[Array, Array, Array]:
    """(codes (n, length) uint8, lengths (n,) uint16, targets (n,) uint8) of one file, plain, .gz or .xz.

    Codes are those of `listops_grammar`, then len(NAMES) for <eos> and len(NAMES) + 1 for <pad>.

    Raises
    ------
    DataError
        Naming the line: not of this form, a wrong target, or more rows than ``most``.
    """
    codes, lengths, targets = [], [], []
    for line, block in _blocks(path):
        if line - 2 + block.count(b"\n") > most:
            raise DataError(f"{path}: must hold at most {most} examples; more follow.", _REMEDY)
        flat, offsets, y = _parse(path, line, block)
        rows = np.full((len(y), length), _N + 1, np.uint8)
        kept = np.minimum(np.diff(offsets), length - 1)
        for row, start, n in zip(rows, offsets, kept, strict=False):
            row[:n] = flat[start : start + n]
            row[n] = _N
        codes.append(rows)
        lengths.append((kept + 1).astype(np.uint16))
        targets.append(y)
    if not codes:
        raise DataError(f"{path}: must hold at least one example; got the header alone.", _REMEDY)
    return np.concatenate(codes), np.concatenate(lengths), np.concatenate(targets)


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, whole lines) after the header."""
    with reading(path) as stream:
        header = stream.readline(100)
        if header.rstrip(b"\r\n") != b"Source\tTarget":
            raise DataError(
                f"{path}, line 1: must be the header Source, tab, Target; got {header!r}.", _REMEDY
            )
        line, rest = 2, b""
        while chunk := stream.read(_BLOCK):
            block, newline, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > _LONGEST:
                raise DataError(f"{path}: a line must have at most {_LONGEST} bytes; more follow.", _REMEDY)
            if newline:
                yield line, block + newline
                line += block.count(b"\n") + 1
        if rest:
            yield line, rest + b"\n"


def _parse(path: Path, line: int, block: bytes) -> tuple[Array, Array, Array]:
    text = np.frombuffer(block, np.uint8)
    n = block.count(b"\n")
    flat = np.empty(len(text) // 2 + 1, np.uint8)
    offsets = np.empty(n + 1, np.int64)
    targets, values = np.empty(n, np.uint8), np.empty(n, np.uint8)
    fault, row = grammar.compiled(grammar.scan)(text, flat, offsets, targets)
    if fault == grammar.OK:
        stack = np.empty((grammar.MAX_DEPTH, 11), np.int64)
        fault, row = grammar.compiled(grammar.evaluate)(flat, offsets, stack, values)
    if fault != grammar.OK:
        got = block.split(b"\n", row + 1)[row].decode("ascii", "replace")
        shown = got if len(got) <= 60 else f"{got[:40]} … {got[-15:]}"
        raise DataError(f"{path}, line {line + row}: {_FAULTS[fault]}; got {shown!r}.", _REMEDY)
    if wrong := np.flatnonzero(values != targets).tolist():
        i = wrong[0]
        raise DataError(
            f"{path}, line {line + i}: Target must be the value of Source, {values[i]}; got {targets[i]}.",
            _REMEDY,
        )
    return flat, offsets, targets


def vocabulary(train_codes: Array) -> tuple[list[str], Array]:
    """(names by token, table (len(NAMES) + 2,) from codes to tokens), counted on the training split."""
    counts = np.zeros(_N + 2, np.int64)
    for start in range(0, len(train_codes), 4096):  # bincount works on int64 copies
        counts += np.bincount(train_codes[start : start + 4096].ravel(), minlength=_N + 2)
    names = ["X" if name == "]" else name for name in grammar.NAMES]
    codes = sorted(np.flatnonzero(counts[:_N]).tolist(), key=lambda code: (-counts[code], names[code]))
    table = np.full(_N + 2, UNK, np.uint8)
    table[codes] = np.arange(3, 3 + len(codes))
    table[[_N, _N + 1]] = EOS, PAD
    return ["<pad>", "<unk>", "<eos>", *(names[code] for code in codes)], table


def _check_distinct(path: Path, codes: Array) -> None:
    """No row occurs twice: the generator of the release drops duplicates, as ours does."""
    first: dict[bytes, int] = {}
    for row, code in enumerate(codes):
        other = first.setdefault(hashlib.blake2b(code.data, digest_size=16).digest(), row)
        if other != row:
            raise DataError(
                f"{path}: rows must differ; line {row + 2} has the expression of line {other + 2}.", _REMEDY
            )


def make(task: Task, folder: Path, making: Making) -> None:
    """Generate ListOps in ``folder``."""
    listops_files.make(folder, making.seed, making.sizes or task.sizes, making.workers, making.report)


def load(task: Task, data: str | Path | None = None, use_cache: bool = True) -> Dataset:
    """ListOps from the first complete set of files; parsed once, then from the cache.

    Raises
    ------
    DataError
        On files that are missing, damaged or wrong.
    """
    files = find(task, data)
    manifest = read_manifest(files[0].parent)
    ours = manifest is not None and all(content_name(path) in manifest["files"] for path in files)
    counts = manifest["sizes"] if manifest is not None and ours else task.sizes

    def build(arrays: Arrays) -> None:
        if manifest is not None and ours:
            for path in files:
                verify(path, manifest)
        rows = [read_rows(path, most=count) for path, count in zip(files, counts, strict=True)]
        for path, (codes, _, _) in zip(files, rows, strict=True):
            _check_distinct(path, codes)
        _, table = vocabulary(rows[0][0])
        for split, (codes, lengths, targets) in zip(SPLITS, rows, strict=True):
            arrays[f"{split}_inputs"] = table[codes]
            arrays[f"{split}_lengths"], arrays[f"{split}_targets"] = lengths, targets

    sources = [*files, files[0].parent / MANIFEST] if ours else files
    arrays = parsed("listops3", sources, build, use_cache)
    train, validation, test = (
        Split(arrays[f"{s}_inputs"], arrays[f"{s}_targets"], to_tokens, arrays[f"{s}_lengths"])
        for s in SPLITS
    )
    sizes = (len(train), len(validation), len(test))
    made = f"regenerated, seed {manifest['seed']}" if manifest is not None and ours else ""
    return Dataset(task, train, validation, test, partial(task, sizes, made))
