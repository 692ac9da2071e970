"""How a scan over (N, L, P) is cut: channels of a block, warps, chunks of steps.

The shapes alone decide, never the GPU at hand: the same bits on all of them.
"""

from __future__ import annotations

from typing import NamedTuple

LANES = 32
STEPS = 8  # of one thread
ENOUGH_BLOCKS = 264  # two for each of 132 multiprocessors; fewer, and the steps are cut into chunks


class Tiling(NamedTuple):
    """Compile-time shape of a block, and the cut of one sequence: ``chunks`` of ``length`` steps."""

    channels: int
    warps: int
    chunks: int
    length: int

    @property
    def tile(self) -> int:
        """Steps that a block handles at a time."""
        return tile_steps(self.channels, self.warps)

    @property
    def macros(self) -> dict[str, int]:
        return {"CHANNELS": self.channels, "STEPS": STEPS, "WARPS": self.warps}

    @property
    def threads(self) -> int:
        return LANES * self.warps

    def blocks(self, N: int, P: int) -> int:
        """Of a grid over all sequences, chunks and groups of channels."""
        return N * self.chunks * groups(P, self.channels)


def tile_steps(channels: int, warps: int) -> int:
    return warps * (LANES // channels) * STEPS


def groups(P: int, channels: int) -> int:
    return -(-P // channels)


def tiling(N: int, L: int, P: int) -> Tiling:
    """One chunk when there are blocks enough without; else chunks of at least two tiles."""
    channels = 8 if P <= 8 else 16 if P <= 16 else 32
    warps = 1 if 2 * tile_steps(channels, 1) >= L else 8
    tile = tile_steps(channels, warps)
    wanted = -(-ENOUGH_BLOCKS // (N * groups(P, channels)))
    chunks = max(1, min(wanted, L // (2 * tile)))
    length = -(-L // (chunks * tile)) * tile
    return Tiling(channels, warps, -(-L // length), length)
