"""The engines that every property is tested on."""

from __future__ import annotations

import s5ref
from s5ref import NUMPY, SEQUENTIAL, Engine

ENGINES: list[Engine] = [SEQUENTIAL, NUMPY, s5ref.NUMBA]
NAMES = [engine.name for engine in ENGINES]
