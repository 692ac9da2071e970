"""Where a check ran: versions, processor, vector instructions."""

from __future__ import annotations

import platform

import numpy as np

import s5ref
from s5ref.machine import processor, simd


def machine() -> dict[str, str]:
    """For the report of a check."""
    return {
        "s5ref": s5ref.__version__, "numpy": np.__version__, "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}", "processor": processor(),
        "cpu_flags": " ".join(simd()), "seed": "every case by its own name",
    }  # fmt: skip
