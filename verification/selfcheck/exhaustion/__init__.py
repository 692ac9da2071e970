"""Every single-argument function of the layer, over all 2³² float32 inputs: the worst error and where.

``python -P -m s5ref.verification.selfcheck.exhaustion`` runs it (minutes) and prints the table of
docs/exhaustion.md.
"""

from __future__ import annotations

from s5ref.verification.selfcheck.exhaustion.sweep import Worst, sweep

__all__ = ["Worst", "sweep"]
