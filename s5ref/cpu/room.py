"""What a thread needs for itself while it works on items: made once, and again for another shape.

Taken afresh by compiled code it would cost a page fault for every 4 KB: dear where a sequence is short.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from s5ref.cpu import memory
from s5ref.cpu.tile import TILE


class Parts(NamedTuple):
    """Sums over a group of items: dB (G, H, 2P'), dCᵀ (G, H, S), dW (G, H, H), and in ``rows`` (G, 4, H) db
    of the gate, dD, dbias and dscale of the norm.
    """

    B: Any
    C: Any
    W: Any
    rows: Any


class Room(NamedTuple):
    """``tiles`` (8, T, H) and ``Bu`` (T, 2P') of a tile, the ``carry`` (S) of a scan, and the states of an
    item and their cotangents, or a copy of them, (longest, S), where they need not stay.
    """

    tiles: Any
    Bu: Any
    carry: Any
    states: Any
    dstates: Any


_mine = threading.local()


def in_room(kernel: Callable[..., None], layer: Any, longest: int) -> Callable[..., None]:
    """``kernel(progress, room, *args)`` as a function of the other arguments, for items of at most
    ``longest`` rows: for `s5ref.cpu.parallel.run_stages`.
    """
    key = layer.B.shape, layer.C.shape, longest, layer.B.dtype

    def work(progress: Any, *args: Any) -> None:
        if getattr(_mine, "key", None) != key:
            _mine.key = _mine.room = None  # gives up the memory of the last shape before it takes more
            _mine.room, _mine.key = _made(*key), key
        kernel(progress, _mine.room, *args)

    return work


def _made(B: tuple[int, int], C: tuple[int, int], longest: int, dtype: Any) -> Room:
    """Room; memory that nobody writes to stays unmapped."""
    (H, P2), S, T = B, C[0], min(TILE, longest)
    shapes = (8, T, H), (T, P2), (S,), (longest, S), (longest, S)
    return Room(*(memory.aligned(shape, dtype) for shape in shapes))
