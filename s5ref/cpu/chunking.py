"""How a batch of sequences is cut, and in which order the parts are worked on.

    batch    x (N, L, H)
    section  consecutive steps of all sequences, worked on at once. There is one, but for a long sequence in
             one direction whose states are not kept: then memory for the states of SECTION steps is enough
    chunk    a part of one sequence in a section: steps bounds[c] to bounds[c + 1] of example n. A batch of
             many sequences has one chunk a sequence; a smaller one is cut along time
    tile     at most 256 rows of a chunk, worked on while they are in the cache (`s5ref.cpu.tile`)

        example 0  |--chunk 0--|--chunk 1--|--chunk 2--|      one section, N = 2
        example 1  |--chunk 0--|--chunk 1--|--chunk 2--|
                   bounds[0]   bounds[1]   bounds[2]   bounds[3]

    task     what a thread takes: a chunk in the forward pass, a group of chunks in the backward pass
    phase    tasks that may run at the same time; none begins before all of the phase before are done

        STARTS   a task: chunks as if nothing came before them, up to what they leave behind
        CARRY    a task: one sequence; what enters each chunk, from what the one before leaves behind
        FINISH   a task: chunks from what enters them

    Where a sequence is one chunk, the first two phases have no tasks, and the last does all.

Everything is cut by the shapes alone, never by the number of threads, so that the bits do not depend on it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu.compile import inlined
from s5ref.cpu.scan import chunks_of
from s5ref.cpu.scheduler import TASKS, done, take, wait_for

PHASES = STARTS, CARRY, FINISH = 0, 1, 2
SECTION = 1 << 15  # steps
KEEP = 1 << 29  # bytes of the intermediate results that a layer keeps for its backward pass


class Section(NamedTuple):
    """Kept for the backward pass: ``bounds`` (chunks + 1), the state ``starts`` (N, chunks, S) with which
    each chunk begins, and ``powers`` (N, chunks, S/2): the product of Λ̄ over the steps of every chunk, 0
    where one of them is a reset; of one chunk none.
    """

    bounds: Array
    starts: Array
    powers: Array


class Chunks(NamedTuple):
    """The chunks of a section for compiled code: ``bounds`` (chunks + 1); what enters and leaves each
    chunk, ``entering`` and ``leaving`` (N, chunks, S); ``powers`` (N, chunks, S) by which what enters is
    multiplied on its way through; ``from_last``: whether the first direction goes from the last chunk to
    the first.
    """

    bounds: Any
    entering: Any
    leaving: Any
    powers: Any
    from_last: Any


def keeps(size: int) -> bool:
    """Whether intermediate results of ``size`` bytes are kept, rather than computed again."""
    return size <= KEEP


def sections_of(N: int, L: int, whole: bool) -> list[Array]:
    """The bounds of the chunks of every section. ``whole``: one section."""
    chunks = chunks_of(N, L)
    sections = 1 if whole or chunks == 1 else -(-L // SECTION)
    edges = [L * i // (sections * chunks) for i in range(sections * chunks + 1)]
    return [np.array(edges[s * chunks : (s + 1) * chunks + 1]) for s in range(sections)]


def powers_of(Lambda_bar: Array, bounds: Array) -> Array:
    """Λ̄^steps (chunks, P') of every chunk, each rounded once, from a wider precision: by repeated products
    in its own the error would grow with steps.
    """
    wide = _wide(Lambda_bar)
    steps = np.diff(bounds).tolist()
    power = {n: (wide**n).astype(Lambda_bar.dtype) for n in set(steps)}
    return np.array([power[n] for n in steps])


def irregular_powers_of(Z: Array, tau: Array, bounds: Array) -> Array:
    """exp(Z Σ τ) (N, chunks, D P') over the steps of every chunk, of D directions: Z (P'), tau (D, N, L)."""
    times = np.add.reduceat(tau[:, :, : bounds[-1]].astype(np.longdouble), bounds[:-1], axis=2)
    powers = np.exp(_wide(Z) * times[..., None]).astype(Z.dtype)  # (D, N, chunks, P')
    return np.concatenate([*powers], axis=2)


def _wide(z: Array) -> Array:
    return z.astype(np.complex128 if z.dtype == np.complex64 else np.clongdouble)


def tasks_of(N: int, chunks: int, tasks: int) -> tuple[int, int, int]:
    """The number of tasks of each phase, where N · chunks are done in so many tasks."""
    return (tasks, N, tasks) if chunks > 1 else (0, 0, tasks)


@inlined
def run_chunks(progress, do_chunk, scratch, layer, chunks, arrays):  # type: ignore[no-untyped-def]
    """do_chunk(i, task, phase, scratch, layer, chunks, arrays) for the chunks i = n · chunks + c of every
    task that this thread gets, phase after phase. progress: see `s5ref.cpu.scheduler`.
    """
    for phase in PHASES:
        tasks = progress[phase, TASKS]
        task = take(progress, phase)
        while task >= 0:
            if phase == CARRY:
                entering, leaving, powers = chunks.entering[task], chunks.leaving[task], chunks.powers[task]
                carry_over(entering, leaving, powers, layer.B.shape[1], chunks.from_last)
            else:
                number = chunks.entering.shape[0] * chunks.entering.shape[1]
                for i in range(number * task // tasks, number * (task + 1) // tasks):
                    do_chunk(i, task, phase, scratch, layer, chunks, arrays)
            done(progress, phase)
            task = take(progress, phase)
        wait_for(progress, phase)


@inlined
def carry_over(entering, leaving, powers, columns, from_last):  # type: ignore[no-untyped-def]
    """What enters the next chunk = power ∘ what enters this one + what this one, entered by zero, leaves.

    entering, leaving, powers (chunks, S) of one sequence, every ``columns`` of them of one direction. The
    first goes from the first chunk to the last, or ``from_last`` to the first; the second the other way.
    """
    chunks, size = powers.shape
    for p in range(0, size, 2):
        backwards = from_last if p < columns else not from_last
        for i in range(chunks - 1):
            c, to = (chunks - 1 - i, chunks - 2 - i) if backwards else (i, i + 1)
            re, im = entering[c, p], entering[c, p + 1]
            a, b = powers[c, p], powers[c, p + 1]
            entering[to, p] = a * re - b * im + leaving[c, p]
            entering[to, p + 1] = a * im + b * re + leaving[c, p + 1]
