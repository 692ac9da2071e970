"""Is it rounding or a bug, and where? The checks of s5ref itself, and the kit that judges others.

Everything is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s5ref.verification.report import Report, Row
    from s5ref.verification.selfcheck.verify import verify

__all__ = ["Report", "Row", "verify"]

_ON_FIRST_USE = {
    "verify": "s5ref.verification.selfcheck.verify",
    "Report": "s5ref.verification.report",
    "Row": "s5ref.verification.report",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 's5ref.verification' has no attribute {name!r}")
