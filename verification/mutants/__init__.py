"""Known mistakes of implementations of S5, as changes of the reference: caught, and named.

``MUTANTS[id].apply(kernels)`` is a context in which s5ref makes the mistake; ``name_mistakes`` says which
of them
wrong numbers are; ``CHECKS`` are the behaviours that no single number shows; ``run_mutants`` tests all of it.
"""

from __future__ import annotations

from s5ref.verification.mutants.behaviours import CHECKS, Behaviour, asking, failed_checks
from s5ref.verification.mutants.mutant import Mutant
from s5ref.verification.mutants.naming import Named, Question, explanations, failing, name_mistakes
from s5ref.verification.mutants.patch import all_replaced, replaced
from s5ref.verification.mutants.run import MUTANTS, MutantRow, MutantsReport, run_mutants

__all__ = [
    "CHECKS",
    "MUTANTS",
    "Behaviour",
    "Mutant",
    "MutantRow",
    "MutantsReport",
    "Named",
    "Question",
    "all_replaced",
    "asking",
    "explanations",
    "failed_checks",
    "failing",
    "name_mistakes",
    "replaced",
    "run_mutants",
]
