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
    """Consecutive chunks of all sequences: the steps where they begin and end, and the states they start
    from.
    """

    bounds: Array
    starts: Array


def keeps(size: int) -> bool:
    """Whether intermediate results of ``size`` bytes are kept, rather than computed again."""
    return size <= KEEP


def waves_of(N: int, L: int, one_wave: bool) -> list[Array]:
    """The bounds of the chunks of every wave, by the shape alone."""
    chunks = chunks_of(N, L)
    waves = 1 if one_wave or chunks == 1 else -(-L // WAVE)
    edges = [L * i // (waves * chunks) for i in range(waves * chunks + 1)]
    return [np.array(edges[w * chunks : (w + 1) * chunks + 1]) for w in range(waves)]


def carry_over(starts: Array, ends: Array, Lambda_bar: Array, bounds: Array) -> None:
    """start of the next chunk = Λ̄^steps start + end, along axis 1, the chunks in the order of the scan.

    The power is rounded once, from a wider precision: by repeated products its error would grow with steps.
    """
    if not starts.size:
        return
    kind = Lambda_bar.dtype
    starts, ends, steps = starts.view(kind), ends.view(kind), np.abs(np.diff(bounds))
    wide = Lambda_bar.astype(np.complex128 if kind == np.complex64 else np.clongdouble)
    power = {n: (wide**n).astype(kind) for n in {int(n) for n in steps}}
    for c in range(len(steps) - 1):
        starts[:, c + 1] = power[int(steps[c])] * starts[:, c] + ends[:, c]
