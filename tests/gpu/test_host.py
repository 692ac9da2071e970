"""What holds of the host code and of the kernels' text without running them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.gpu.launch import MAX_BLOCKS, Kernel, launch
from s5ref.gpu.rows import SLABS, rows_of
from s5ref.gpu.source import BEFORE, FILES, source
from s5ref.gpu.tiling import LOOKBACK, tiling

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "gpu").glob("*.py") if path.stem != "__init__")


def test_every_module_is_imported_without_cupy() -> None:
    code = "import sys\nsys.modules['cupy'] = None\nimport s5ref.gpu\n"
    code += "\n".join(f"import s5ref.gpu.{name}" for name in MODULES)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_kernels_are_the_files_of_their_folder() -> None:
    assert {"common", *FILES}.union(*BEFORE.values()) == {
        path.stem for path in (ROOT / "gpu" / "kernels").iterdir()
    }


@pytest.mark.parametrize("file", FILES)
def test_kernels_include_nothing_and_have_no_fast_intrinsics(file: str) -> None:
    code = re.sub(r"//.*", "", source(file))
    assert re.findall(r"#include|__expf|__fdividef|__frcp\w*|__fsqrt\w*|rsqrt\w*|\basm\b", code) == []


@pytest.mark.parametrize("file", FILES)
def test_the_one_atomic_gives_out_tickets(file: str) -> None:
    lines = [line.strip() for line in source(file).splitlines() if "atomic" in line]
    ticket = "if (threadIdx.x == 0) exchange.ticket = atomicAdd(lookback.flags, 1u);"
    assert lines == ([ticket] if "decoupled_lookback" in BEFORE.get(file, ()) else [])


@pytest.mark.parametrize("N", [1, 2, 50, 66_000])
@pytest.mark.parametrize("P", [1, 8, 9, 16, 17, 40, 384])
def test_a_chunk_is_a_whole_sequence_or_one_tile(N: int, P: int) -> None:
    for L in (1, 2, 63, 64, 65, 255, 256, 257, 784, 2048, 16_384, 1_000_000):
        cut = tiling(N, L, P)
        assert not cut.lookback or (cut.chunks - 1) * cut.tile < L <= cut.chunks * cut.tile
        assert not cut.lookback or cut == LOOKBACK._replace(chunks=cut.chunks)
        assert cut.blocks(N, P) * cut.channels >= N * P * cut.chunks


def test_few_sequences_have_blocks_for_a_whole_gpu_and_many_have_one_each() -> None:
    assert tiling(1, 1_000_000, 8).blocks(1, 8) > 3000
    assert tiling(50, 2048, 8).blocks(50, 8) == 400
    assert not tiling(300, 16_384, 8).lookback
    assert not tiling(1, 256, 8).lookback


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 65_536, 65_537, 3_276_800])
def test_slabs_hold_every_row_once_and_are_few(rows: int) -> None:
    cut = rows_of(np.broadcast_to(np.float32(0), (rows, 3)))
    assert (cut.slabs - 1) * cut.slab < rows <= cut.slabs * cut.slab
    assert cut.slabs <= SLABS


def test_too_many_rows_or_blocks_are_refused() -> None:
    with pytest.raises(S5Error, match="fewer than 2³² rows"):
        rows_of(np.broadcast_to(np.float32(0), (2**32, 1)))
    with pytest.raises(S5Error, match="at most"):
        launch(Kernel("none", np.dtype(np.float32), lambda *_: None), MAX_BLOCKS + 1, 32)
