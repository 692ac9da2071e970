"""Known mistakes of implementations of S5, each a change of the reference.

``MUTANTS[id].apply(engine)`` is a context in which s5ref makes the mistake. The kit's namer tries those of
``NUMERIC``; `s5ref.verification.conformance.mutants.run` puts each to the kit as a candidate.
"""

from __future__ import annotations

from s5ref.verification.conformance.mutants import defects, mutant, networks, scans, spaces  # noqa: F401
from s5ref.verification.conformance.mutants.mutant import Mutant
from s5ref.verification.conformance.mutants.patch import replaced

__all__ = ["MUTANTS", "NUMERIC", "Mutant", "replaced"]

MUTANTS: dict[str, Mutant] = dict(sorted(mutant.MUTANTS.items()))
NUMERIC = tuple(known for known in MUTANTS.values() if known.numeric)
