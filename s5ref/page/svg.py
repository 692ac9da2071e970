"""SVG elements as text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any


def element(tag: str, content: str = "", **attributes: Any) -> str:
    """An SVG element. ``class_``, ``text_anchor`` …: attributes as SVG writes them; floats: one decimal."""
    written = [tag]
    for name, value in attributes.items():
        shown = f"{value:.1f}" if isinstance(value, float) else value
        written.append(f"{name.rstrip('_').replace('_', '-')}='{shown}'")
    start = f"<{' '.join(written)}"
    return f"{start}>{content}</{tag}>" if content else f"{start}/>"


def tooltip(text: str) -> str:
    """What a pointer that rests on the element is told."""
    return f"<title>{escape(text)}</title>"


def svg(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """A drawing; ``label`` says in words what it shows."""
    return (
        f"<svg viewBox='0 0 {width:g} {height:g}' role='img' aria-label='{escape(label)}'>"
        f"{''.join(parts)}</svg>"
    )
