"""Stored questions and certified answers, as data: read with ``load``, made by ``generate``, checked by
``lint``.

See docs/vectors.md. Reading them needs none of the extras of s5ref; making them needs python-flint.
"""

from __future__ import annotations

from s5ref.verification.conformance.vectors.store import load
from s5ref.verification.conformance.vectors.vector import Vector

__all__ = ["Vector", "load"]
