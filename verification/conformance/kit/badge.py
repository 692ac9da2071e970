"""The verdict as a badge: what shields.io reads from an endpoint."""

from __future__ import annotations

from typing import Any

from s5ref.verification.conformance.kit.result import Result

COLORS = {
    "agrees": "brightgreen",
    "inaccurate": "green",
    "differs": "orange",
    "broken": "red",
    "nothing ran": "lightgrey",
}


def badge(result: Result) -> dict[str, Any]:
    """``{"schemaVersion": 1, "label": …, "message": …, "color": …}``."""
    passed = f"{result.count('passed')} of {result.ran}"
    words = result.verdict if result.verdict == "nothing ran" else f"{result.verdict}, {passed}"
    return {"schemaVersion": 1, "label": "S5", "message": words, "color": COLORS[result.verdict]}
