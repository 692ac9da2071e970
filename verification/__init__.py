"""Is it rounding or a bug, and where? Computed tolerances, gradient checks, and the ladder of self-checks."""

from __future__ import annotations

from s5ref.verification.ladder import verify
from s5ref.verification.report import Report, Row

__all__ = ["Report", "Row", "verify"]
