"""The engines that every property is tested on."""

from __future__ import annotations

import s5ref
from s5ref import NUMPY, SEQUENTIAL, Kernels

ENGINES: list[Kernels] = [SEQUENTIAL, NUMPY, s5ref.NUMBA]
NAMES = [kernels.name for kernels in ENGINES]
