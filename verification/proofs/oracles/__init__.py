"""Certified enclosures of every value and every derivative, by ball arithmetic and dual numbers; exact
rationals.

Nothing here but the judges (``certify*.py``) imports the mathematics of s5ref. Needs python-flint: ``pip
install "s5ref[verify]"``.
"""

from __future__ import annotations

from s5ref.verification.proofs.oracles.stages import STAGES, enclosures, oracle

__all__ = ["STAGES", "enclosures", "oracle"]
