"""A page and its parts. What is called html is HTML; every other text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


class Section(NamedTuple):
    """One part of a page, in the order of the page: what kind of run it is of decides which there are."""

    title: str
    html: str


def page(title: str, html: str) -> str:
    """The whole page.

    Parameters
    ----------
    title : str
        Shown by the browser.
    html : str
        The content.

    Returns
    -------
    str
        A document with its style inside.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><main>{html}</main></body></html>\n"
    )


def sections(parts: Iterable[Section]) -> str:
    """The sections one below the other."""
    return "".join(f"<section><h2>{escape(title)}</h2>{html}</section>" for title, html in parts)


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def soft(text: str) -> str:
    """A paragraph that explains."""
    return f'<p class="soft">{escape(text)}</p>'


def counts(items: Iterable[tuple[str, str]]) -> str:
    """A row of (number, word) cards."""
    cards = (f"<li><b>{escape(number)}</b><span>{escape(word)}</span></li>" for number, word in items)
    return f'<ul class="counts">{"".join(cards)}</ul>'


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), numeric: Sequence[int] = ()) -> str:
    """A table that scrolls where it is wider than the page.

    Parameters
    ----------
    rows : iterable of sequences of str
        Cells are HTML; one that begins with ``<td`` or ``<th`` is a whole cell.
    head : sequence of str
        Titles of the columns, as HTML.
    numeric : sequence of int
        Columns that stand at the right.
    """

    def cell(column: int, html: str, tag: str) -> str:
        if html.startswith(("<td", "<th")):
            return html
        return f"<{tag} class='n'>{html}</{tag}>" if column in numeric else f"<{tag}>{html}</{tag}>"

    lines = ["".join(cell(i, html, "th") for i, html in enumerate(head))] if head else []
    lines += ["".join(cell(i, html, "td") for i, html in enumerate(row)) for row in rows]
    return f'<div class="scroll"><table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def figures(drawings: Iterable[tuple[str, str]]) -> str:
    """Drawings beside and below each other, as the width allows: (caption, SVG) each."""
    each = (f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for text, svg in drawings)
    return f'<div class="figures">{"".join(each)}</div>'


def details(summary: str, html: str) -> str:
    """What is shown on a click."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"
