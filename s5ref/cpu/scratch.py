"""What a thread needs for itself while it works on chunks: made once, and again for another shape.

Taken afresh by compiled code it would cost a page fault for every 4 KB, which is expensive where a
sequence is short.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from s5ref.cpu import memory
from s5ref.cpu.tile import TILE


class Scratch(NamedTuple):
    """Of a tile (T, H): x̂ of LayerNorm, the normalised input u, y, its GELU g, full GLU's h and the gate's
    input z, the slope gelu′(y), and the cotangents dh, dz and dg; ``Bu`` (T, 2P') of one direction or its
    cotangent; ``rstd`` (T) of LayerNorm. ``carry`` (S) of a scan. The ``states`` of a chunk and their
    cotangents, or a copy of either, (longest chunk, S), where they need not stay.
    """

    xhat: Any
    u: Any
    y: Any
    g: Any
    h: Any
    z: Any
    slope: Any
    dh: Any
    dz: Any
    dg: Any
    Bu: Any
    rstd: Any
    carry: Any
    states: Any
    dstates: Any


_mine = threading.local()


def with_scratch(kernel: Callable[..., None], layer: Any, longest: int) -> Callable[..., None]:
    """``kernel(progress, scratch, *args)`` as a function of the other arguments, for chunks of at most
    ``longest`` steps: for `s5ref.cpu.parallel.run_phases`.
    """
    key = layer.B.shape, layer.C.shape, longest, layer.B.dtype

    def work(progress: Any, *args: Any) -> None:
        if getattr(_mine, "key", None) != key:
            _mine.key = _mine.scratch = None  # gives up the memory of the last shape before it takes more
            _mine.scratch, _mine.key = _made(*key), key
        kernel(progress, _mine.scratch, *args)

    return work


def _made(B: tuple[int, int], C: tuple[int, int], longest: int, dtype: Any) -> Scratch:
    """Memory that nobody writes to stays unmapped."""
    (H, P2), S, T = B, C[0], min(TILE, longest)
    rest = (T, P2), (T,), (S,), (longest, S), (longest, S)
    return Scratch(*memory.aligned((10, T, H), dtype), *(memory.aligned(shape, dtype) for shape in rest))
