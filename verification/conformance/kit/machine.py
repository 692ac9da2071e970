"""Where a check ran: versions, processor, and what of it NumPy uses."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np

import s5ref


def machine() -> dict[str, str]:
    """s5ref and NumPy, the system, the processor, and the vector instructions that NumPy found."""
    return {
        "s5ref": s5ref.__version__, "numpy": np.__version__, "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}", "processor": _processor(),
        "cpu_flags": " ".join(_flags()), "seed": "every case by its own name",
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _flags() -> list[str]:
    try:
        config: Any = np.show_config(mode="dicts")
        return list(config["SIMD Extensions"]["found"])
    except (KeyError, TypeError):
        return []
