"""The stages of S5 that an implementation can be asked about, and the questions.

``STAGES[name].evaluate(inputs, options, kernels)`` and ``.cotangents(inputs, options, dy, kernels)`` are the
reference's numbers; ``cases()`` the questions in a fixed order; ``bound(case, output)`` how far off an output
may be, in units of the eps of the case's dtype.
"""

from __future__ import annotations

from s5ref.verification.conformance.stages.audit import audit
from s5ref.verification.conformance.stages.bound import STAGES, bound, bounds_of, computed
from s5ref.verification.conformance.stages.cases import cases
from s5ref.verification.conformance.stages.stage import LEVELS, Case, Stage, flat, nested

__all__ = [
    "LEVELS", "STAGES", "Case", "Stage", "audit", "bound", "bounds_of", "cases", "computed", "flat",
    "nested",
]  # fmt: skip
