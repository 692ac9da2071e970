"""s5ref.gpu: the CUDA engine. Importing it needs no GPU and no CuPy; asking for its kernels says what is
missing.

The kernels are not part of this version. `kernels()` refuses with a sentence that says so.
"""

from __future__ import annotations

from typing import NoReturn

from s5ref.errors import S5Error


def kernels() -> NoReturn:
    """The CUDA engine as a `Kernels` value. Raises S5Error: this version has none."""
    raise S5Error(
        "gpu: the CUDA engine is not part of this version of s5ref.",
        "Use --device cpu; its NUMBA engine runs every recipe.",
    )
