"""Stored questions and certified answers, as data: read with ``load``, made by ``generate``, checked by ``lint``.

See docs/vectors.md. Reading them needs NumPy only.
"""

from __future__ import annotations

from s5ref.verification.vectors.store import load
from s5ref.verification.vectors.vector import Vector

__all__ = ["Vector", "load"]
