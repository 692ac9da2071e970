"""Which steps of a batch are worked on together, and how the state gets from one chunk to the next.

A wave is worked on at once; there is one, but for a long sequence in one direction whose states are not kept:
then memory for the states of WAVE steps is enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.cpu.scan import chunks_of

WAVE = 1 << 15  # steps
KEEP = 1 << 29  # bytes of the intermediate results that a layer keeps for its backward pass


class Wave(NamedTuple):
    """Consecutive chunks of all sequences: the steps where they begin and end, the states they start from,
    and Λ̄^steps of every chunk (chunks, P').
    """

    bounds: Array
    starts: Array
    powers: Array


def keeps(size: int) -> bool:
    """Whether intermediate results of ``size`` bytes are kept, rather than computed again."""
    return size <= KEEP


def waves_of(N: int, L: int, one_wave: bool) -> list[Array]:
    """The bounds of the chunks of every wave, by the shape alone."""
    chunks = chunks_of(N, L)
    waves = 1 if one_wave or chunks == 1 else -(-L // WAVE)
    edges = [L * i // (waves * chunks) for i in range(waves * chunks + 1)]
    return [np.array(edges[w * chunks : (w + 1) * chunks + 1]) for w in range(waves)]


def powers_of(Lambda_bar: Array, bounds: Array) -> Array:
    """Λ̄^steps of every chunk, each rounded once, from a wider precision: by repeated products in its own the
    error would grow with steps.
    """
    wide = Lambda_bar.astype(np.complex128 if Lambda_bar.dtype == np.complex64 else np.clongdouble)
    steps = np.diff(bounds).tolist()
    power = {n: (wide**n).astype(Lambda_bar.dtype) for n in set(steps)}
    return np.array([power[n] for n in steps])


def stages_of(N: int, chunks: int, jobs: int) -> tuple[int, int, int]:
    """The jobs of `s5ref.cpu.block_forward.forward` or its vjp, whose items are so many jobs."""
    return (jobs, N, jobs) if chunks > 1 else (0, 0, jobs)
