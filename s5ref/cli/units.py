"""Measured numbers as the tables of ``s5ref bench`` show them; "–": not measured."""

from __future__ import annotations

from s5ref.cli.output import size


def duration(seconds: float | None) -> str:
    """12.3 → 12.3 s; 0.0456 → 45.6 ms; 0.00012 → 120 µs."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def number(value: float | None, unit: str, decimals: int | None = None) -> str:
    """Three significant digits, or ``decimals`` after the point."""
    form = ".3g" if decimals is None else f".{decimals}f"
    return "–" if value is None else f"{value:{form}}{unit}"


def memory(count: int | None) -> str:
    return "–" if count is None else size(count)
