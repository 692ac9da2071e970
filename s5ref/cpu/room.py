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
    """Sums over a group of items: dB (G, H, 2P'), dC (G, S, H), dW (G, H, H), and in ``rows`` (G, 4, H) db of
    the gate, dD, dbias and dscale of the norm.
    """

    B: Any
    C: Any
    W: Any
    rows: Any


class Room(NamedTuple):
    """``tiles`` (8, T, H) and ``Bu`` (T, 2P') of a tile, what a tile adds to every sum, and the states of an
    item and their cotangents, or a copy of them, (longest, S), where they need not stay.
    """

    tiles: Any
    Bu: Any
    products: Parts
    states: Any
    dstates: Any


_mine = threading.local()


def in_room(kernel: Callable[..., None], layer: Any, longest: int) -> Callable[..., None]:
    """``kernel(lo, hi, room, *args)`` as a function of the other arguments, for items of at most ``longest``
    rows: a job of `s5ref.cpu.parallel.run`.
    """
    key = layer.B.shape, layer.C.shape, longest, layer.B.dtype

    def job(lo: int, hi: int, *args: Any) -> None:
        if getattr(_mine, "key", None) != key:
            _mine.key = _mine.room = None  # gives up the memory of the last shape before it takes more
            _mine.room, _mine.key = _made(*key), key
        kernel(lo, hi, _mine.room, *args)

    return job


def _made(B: tuple[int, int], C: tuple[int, int], longest: int, dtype: Any) -> Room:
    """Room; memory that nobody writes to stays unmapped."""
    (H, P2), S, T = B, C[0], min(TILE, longest)
    shapes = (8, T, H), (T, P2), (H, P2), (S, H), (H, H), (4, H), (longest, S), (longest, S)
    tiles, Bu, *products, states, dstates = (memory.aligned(shape, dtype) for shape in shapes)
    return Room(tiles, Bu, Parts(*products), states, dstates)
