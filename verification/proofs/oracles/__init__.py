"""Certified enclosures of every value and every derivative, by ball arithmetic and dual numbers; exact
rationals.

Nothing here imports the mathematics of s5ref; `s5ref.verification.selfcheck.certify` is the judge. Needs
python-flint: ``pip install "s5ref[verify]"``.
"""

from __future__ import annotations

from s5ref.verification.proofs.oracles.stages import STAGES, enclosures, oracle

__all__ = ["STAGES", "enclosures", "oracle"]
