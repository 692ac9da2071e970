"""Known mistakes of implementations of S5, each a change of the reference.

``MUTANTS[id].apply(engine)`` is a context in which s5ref makes the mistake. The kit's namer tries those of
``NUMERIC``; `s5ref.verification.conformance.mutants.run` puts each to the kit as a candidate.
"""

from __future__ import annotations

from s5ref.verification.conformance.mutants.defects import DEFECTS
from s5ref.verification.conformance.mutants.initial import INITIAL
from s5ref.verification.conformance.mutants.mutant import Mutant
from s5ref.verification.conformance.mutants.networks import NETWORKS
from s5ref.verification.conformance.mutants.patch import replaced
from s5ref.verification.conformance.mutants.scans import SCANS
from s5ref.verification.conformance.mutants.spaces import SPACES

__all__ = ["MUTANTS", "NUMERIC", "Mutant", "replaced"]

MUTANTS: dict[str, Mutant] = {
    mutant.id: mutant
    for mutant in sorted((*SCANS, *SPACES, *INITIAL, *NETWORKS, *DEFECTS), key=lambda mutant: mutant.id)
}
NUMERIC = tuple(mutant for mutant in MUTANTS.values() if mutant.numeric)
