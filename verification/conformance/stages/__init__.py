"""The stages of S5 that an implementation can be asked about, and the questions.

``cases()`` are the questions in a fixed order. ``STAGES[name](inputs, options, engine)`` are the outputs of
the reference and their vjp; ``computed(case, engine)`` are its numbers for a case, and ``bounds_of(case)``
says how far off an output may be, in units of the eps of the case's dtype.
"""

from __future__ import annotations

from s5ref.verification.conformance.stages.audit import audit
from s5ref.verification.conformance.stages.bound import bounds_of
from s5ref.verification.conformance.stages.crossed import cases
from s5ref.verification.conformance.stages.reference import STAGES, computed
from s5ref.verification.conformance.stages.stage import LEVELS, Case, flat, nested

__all__ = ["LEVELS", "STAGES", "Case", "audit", "bounds_of", "cases", "computed", "flat", "nested"]
