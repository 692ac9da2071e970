"""ListOps made here: the distribution is fully specified, so the task needs no download.

tree(depth), root at depth 1: above depth 10 an operator with probability 1/4, else a random digit; an
operator is one of four, with 2–10 arguments. A tree is kept if 500 < length < 2000, where digits, operators
and closing brackets count; duplicates are dropped, within and across the splits. By the exact distribution
8.28 % of the trees are kept, of mean length 1035 and median 954.

The examples come in chunks of 512 kept trees, each a function of (seed, split, chunk) alone, taken in order:
the files do not depend on the number of workers.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.data.listops_grammar import END, MAX_DEPTH, MIN, NAMES, compiled, evaluate, render
from s5ref.machine import usable_cores
from s5ref.random import generator

CHUNK = 512
TOKEN_NAMES = np.array([[*name.encode().ljust(4, b"\0")] for name in NAMES], np.uint8)


class Rows(NamedTuple):
    """Expressions: flat token codes, offsets (n + 1,) of the rows, values (n,); attempts: trees drawn."""

    flat: Array
    offsets: Array
    values: Array
    attempts: int


def sample(rng: np.random.Generator, n: int, flat: Array, offsets: Array, left: Array) -> int:
    """``n`` kept trees into flat (2020·n,) and offsets (n + 1,); left (11,): scratch. Returns trees drawn."""
    attempts = 0
    kept = 0
    start = 0
    offsets[0] = 0
    while kept < n:
        attempts += 1
        at = start
        depth = 1  # of the node to draw
        while at - start < 2000:  # a tree that gets this long is not kept, whatever follows
            if depth < 10 and rng.random() <= 0.25:
                flat[at] = MIN + int(rng.random() * 4)
                at += 1
                left[depth] = 2 + int(rng.random() * 9)
                depth += 1
                continue
            flat[at] = int(rng.random() * 10)
            at += 1
            while depth > 1:
                left[depth - 1] -= 1
                if left[depth - 1] > 0:
                    break
                flat[at] = END
                at += 1
                depth -= 1
            if depth == 1:
                break
        if depth == 1 and 500 < at - start < 2000:
            start = at
            kept += 1
            offsets[kept] = at
    return attempts


def chunk(seed: int, split: str, index: int, size: int = CHUNK) -> Rows:
    """Chunk ``index`` of a split: ``size`` kept trees and their values."""
    flat = np.empty(2020 * size, np.uint8)
    offsets = np.empty(size + 1, np.int64)
    rng = generator(seed, "listops", split, index)
    attempts = compiled(sample)(rng, size, flat, offsets, np.zeros(11, np.int64))
    flat = flat[: offsets[-1]].copy()
    values = np.empty(size, np.uint8)
    compiled(evaluate)(flat, offsets, np.empty((MAX_DEPTH, 11), np.int64), values)
    return Rows(flat, offsets, values, attempts)


def distinct(rows: Rows, seen: set[bytes], limit: int) -> Rows:
    """The first ``limit`` rows that are not in ``seen``, which they join."""
    keep: list[int] = []
    for i in range(len(rows.values)):
        row = rows.flat[rows.offsets[i] : rows.offsets[i + 1]]
        digest = hashlib.blake2b(row.data, digest_size=16).digest()
        if digest not in seen and len(keep) < limit:
            seen.add(digest)
            keep.append(i)
    if len(keep) == len(rows.values):
        return rows
    lengths = np.diff(rows.offsets)
    flat = rows.flat[np.repeat(np.isin(np.arange(len(lengths)), keep), lengths)]
    return Rows(flat, np.concatenate([[0], np.cumsum(lengths[keep])]), rows.values[keep], rows.attempts)


def examples(
    seed: int, split: str, count: int, seen: set[bytes], workers: int | None = None
) -> Iterator[Rows]:
    """``count`` distinct examples of a split, in its fixed order; ``workers`` threads draw ahead."""
    from concurrent.futures import Future, ThreadPoolExecutor

    workers = workers or usable_cores()
    ahead: deque[Future[Rows]] = deque()
    index = 0
    with ThreadPoolExecutor(workers) as pool:
        while count > 0:
            needed = -(-count // CHUNK)
            while len(ahead) < min(2 * workers, needed):
                ahead.append(pool.submit(chunk, seed, split, index))
                index += 1
            rows = distinct(ahead.popleft().result(), seen, count)
            count -= len(rows.values)
            if len(rows.values):
                yield rows


def text(rows: Rows) -> bytes:
    """The rows in the release's file form, without the header."""
    out = np.empty(16 * len(rows.flat) + 4 * len(rows.values), np.uint8)
    arity = np.empty(len(rows.flat), np.int16)
    open_at = np.empty(MAX_DEPTH, np.int64)
    size = compiled(render)(rows.flat, rows.offsets, rows.values, TOKEN_NAMES, arity, open_at, out)
    return out[:size].tobytes()
