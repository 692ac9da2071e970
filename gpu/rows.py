"""Arrays as rows × channels, slabs of rows for each block, and sums over all rows in a fixed order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import S5Error
from s5ref.gpu.launch import Kernel, Launcher, contiguous, launch

LANES, WARPS = 32, 8
SLAB = 64  # rows, at least
SLABS = 1024  # at most: the second stage of a sum has one block for 32 channels


class Rows(NamedTuple):
    """An array of ``rows`` × ``channels`` cut into slabs of ``slab`` rows."""

    rows: int
    channels: int
    slab: int

    @property
    def slabs(self) -> int:
        return -(-self.rows // self.slab)

    @property
    def sizes(self) -> tuple[np.generic, ...]:
        """As kernels take them."""
        return np.int64(self.rows), np.int32(self.channels), np.int64(self.slab)

    def launch(self, kernel: Kernel, *arguments: Any) -> None:
        launch(kernel, self.slabs * -(-self.channels // LANES), LANES * WARPS, *arguments)


def rows_of(x: Array) -> Rows:
    """The last axis is the channels."""
    channels = int(x.shape[-1])
    rows = int(x.size) // channels
    if rows >= 2**32:
        raise S5Error(f"A GPU kernel takes fewer than 2³² rows; got {rows}.", "Use smaller batches.")
    return Rows(rows, channels, max(SLAB, -(-rows // SLABS)))


def column_sum(on: Launcher, x: Array, valid: Array | None = None) -> Array:
    """Σ over all axes but the last, over the valid rows; x contiguous."""
    cut = rows_of(x)
    if cut.slabs == 1:
        return total(on, x, valid)
    partial = on.empty((cut.slabs, cut.channels), x.dtype)
    cut.launch(on.kernel("norm", "sums", x.dtype), contiguous(x), valid, partial, *cut.sizes)
    return total(on, partial)


def total(on: Launcher, partial: Array, valid: Array | None = None) -> Array:
    """The second stage of `column_sum`: all rows are one slab."""
    cut = rows_of(partial)
    whole = cut._replace(slab=cut.rows)
    result: Array = on.empty((cut.channels,), partial.dtype)
    whole.launch(on.kernel("norm", "sums", partial.dtype), contiguous(partial), valid, result, *whole.sizes)
    return result
