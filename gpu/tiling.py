"""How a scan over (N, L, P) is divided: channels of a block, warps, and whether blocks share a sequence.

Only the shapes decide, never the GPU: the bits are the same on every GPU.
"""

from __future__ import annotations

from typing import NamedTuple

LANES = 32
STEPS = 8  # of one thread
ENOUGH_BLOCKS = 264  # two for each of 132 multiprocessors; with fewer, blocks share a sequence


class Tiling(NamedTuple):
    """The shape of a block at compile time, and the chunks of one sequence.

    With one chunk a block goes through the sequence tile by tile. With several, each chunk is one tile with a
    block of its own, and the blocks of a sequence cooperate by decoupled look-back.
    """

    channels: int
    warps: int
    chunks: int

    @property
    def tile(self) -> int:
        """Steps that a block handles at a time."""
        return self.warps * (LANES // self.channels) * STEPS

    @property
    def lookback(self) -> bool:
        return self.chunks > 1

    @property
    def macros(self) -> dict[str, int]:
        return {
            "CHANNELS": self.channels, "STEPS": STEPS, "WARPS": self.warps, "LOOKBACK": int(self.lookback)
        }  # fmt: skip

    @property
    def threads(self) -> int:
        return LANES * self.warps

    def blocks(self, N: int, P: int) -> int:
        """Of a grid over all sequences, chunks and groups of channels."""
        return N * self.chunks * -(-P // self.channels)


LOOKBACK = Tiling(8, 8, 2)  # few channels make the longest tile, so the fewest chunks


def tiling(N: int, L: int, P: int) -> Tiling:
    """Blocks share a sequence where it has more than one tile and one block for each sequence and group of
    channels would be too few blocks.
    """
    channels = 8 if P <= 8 else 16 if P <= 16 else 32
    narrow, wide = Tiling(channels, 1, 1), Tiling(channels, 8, 1)
    if wide.blocks(N, P) < ENOUGH_BLOCKS and LOOKBACK.tile < L:
        return LOOKBACK._replace(chunks=-(-L // LOOKBACK.tile))
    return narrow if 2 * narrow.tile >= L else wide
