"""How a scan over (N, L, P) is cut: channels of a block, warps, and whether blocks share a sequence.

The shapes alone decide, never the GPU at hand: the same bits on all of them.
"""

from __future__ import annotations

from typing import NamedTuple

LANES = 32
STEPS = 8  # of one thread
ENOUGH_BLOCKS = 264  # two for each of 132 multiprocessors; fewer, and blocks share a sequence


class Tiling(NamedTuple):
    """Compile-time shape of a block, and the cut of one sequence: one chunk, which a block walks tile by
    tile, or a chain of chunks, each of which is one tile and has a block of its own.
    """

    channels: int
    warps: int
    chunks: int

    @property
    def tile(self) -> int:
        """Steps that a block handles at a time."""
        return tile_steps(self.channels, self.warps)

    @property
    def chained(self) -> bool:
        return self.chunks > 1

    @property
    def macros(self) -> dict[str, int]:
        return {
            "CHANNELS": self.channels,
            "STEPS": STEPS,
            "WARPS": self.warps,
            "CHAINED": int(self.chained),
        }

    @property
    def threads(self) -> int:
        return LANES * self.warps

    def blocks(self, N: int, P: int) -> int:
        """Of a grid over all sequences, chunks and groups of channels."""
        return N * self.chunks * groups(P, self.channels)


CHAIN = Tiling(8, 8, 2)  # of few channels: the longest tile, so the fewest chunks


def tile_steps(channels: int, warps: int) -> int:
    return warps * (LANES // channels) * STEPS


def groups(P: int, channels: int) -> int:
    return -(-P // channels)


def tiling(N: int, L: int, P: int) -> Tiling:
    """One block for a sequence and group of channels when that gives enough blocks, or L is one tile; else a
    chain.
    """
    channels = 8 if P <= 8 else 16 if P <= 16 else 32
    if N * groups(P, channels) < ENOUGH_BLOCKS and CHAIN.tile < L:
        return CHAIN._replace(chunks=-(-L // CHAIN.tile))
    return Tiling(channels, 1 if 2 * tile_steps(channels, 1) >= L else 8, 1)
