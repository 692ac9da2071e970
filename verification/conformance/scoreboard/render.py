"""The scoreboard as Markdown and as a page: a matrix of implementations and stages, and the findings."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from s5ref.page import html
from s5ref.page.html import details, soft, table
from s5ref.verification.conformance.scoreboard.findings import array_of
from s5ref.verification.conformance.scoreboard.record import STAGES

Record = Mapping[str, Any]
Records = Mapping[str, list[dict[str, Any]]]
TITLE = "Scoreboard: implementations of S5, as `s5ref check` found them"
LEGEND = (
    "*right*: every difference is rounding. *rounding*: rounding of a coarser arithmetic. *inaccurate*: the "
    "authors' known inaccuracies (M18, M23) and nothing else. *form*: another form of S5, not declared. "
    "M…: the mistake of that number explains the numbers (results/mutants). *raises*: no numbers, or no "
    "gradients. *wrong*: other numbers, without a name. –: not offered. Behind it how many of the cases that "
    "were asked passed."
)
COMMANDS = """\
s5ref check NAME --repo PATH --record docs/scoreboard    # `s5ref check --list` names them
s5ref scoreboard                                         # this page and index.html, from the records
s5ref scoreboard --as-issue NAME#ID                      # a finding as the text of an issue"""


def markdown(records: Records) -> str:
    """docs/scoreboard/README.md."""
    newest = [ones[0] for ones in records.values()]
    lines = [
        f"# {TITLE}", "", "```", COMMANDS, "```", "", LEGEND, "", _row(["implementation", *STAGES]),
        _row(["---"] * (len(STAGES) + 1)),
        *(_row([f"[{one['name']}](#{one['name']})", *map(_words, _cells(one))]) for one in newest), "",
    ]  # fmt: skip
    for one in newest:
        lines += _section(one, records[one["name"]])
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(one: Record) -> list[Any]:
    return [one["stages"].get(stage) for stage in STAGES]


def _words(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["kind"] == "not offered":
        return "–"
    words = [*cell["named"], *([cell["kind"]] if cell["kind"] != "named" else [])]
    return f"{', '.join(words)} {cell['passed']}/{cell['ran']}"


def _under(one: Record) -> str:
    versions = {"s5ref": one["machine"]["s5ref"], **one["versions"]}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _section(one: Record, history: list[dict[str, Any]]) -> list[str]:
    repository = one["repository"]
    where = f"[{repository}](https://github.com/{repository})" if "/" in repository else repository
    lines = [
        f"## {one['name']}", "", f"{where} at `{one['commit']}`, {one['date']}: {one['headline']}.", "",
        f"{_under(one)}; every case is seeded by its own name.", "",
    ]  # fmt: skip
    for finding in one["findings"]:
        lines.append(f'* <a id="{anchor(one, finding)}"></a>**{finding["title"]}** ({_where(finding)})')
        lines += [f"  {words}"] if (words := _smallest(finding)) else []
    lines += [f"* earlier: `{old['commit']}`, {old['date']}: {old['headline']}" for old in history[1:]]
    return [*lines, ""] if lines[-1] else lines


def _where(finding: Mapping[str, Any]) -> str:
    """Its place, and the cases that show it."""
    count, first = len(finding["cases"]), finding["cases"][0]
    return f"{finding['where']}; `{first}`{f' and {count - 1} more' if count > 1 else ''}"


def anchor(one: Record, finding: Mapping[str, Any]) -> str:
    """The anchor of a finding on the page."""
    return f"{one['name']}-{finding['id']}"


def _smallest(finding: Mapping[str, Any]) -> str:
    """Inputs and outputs of the smallest question; nothing where there are no numbers."""
    smallest = finding["smallest"]
    if not smallest or smallest["got"] is None:
        return ""
    given = ", ".join(f"{name} = {_short(x)}" for name, x in smallest["inputs"].items())
    got, want = _short(smallest["got"]), _short(smallest["want"])
    return f"smallest: {given} gives {smallest['output']} = {got}, S5 {want}"


def _short(listed: Any) -> str:
    """Numbers in few digits; complex ones as a + bi."""
    if isinstance(listed, dict):
        return _short(array_of(listed).tolist())
    if isinstance(listed, list):
        return f"[{', '.join(map(_short, listed))}]"
    if isinstance(listed, complex):
        return f"{listed.real:.5g}{listed.imag:+.5g}i" if listed.imag else f"{listed.real:.5g}"
    return str(listed) if isinstance(listed, bool | str) else f"{listed:.5g}"


def page(records: Records) -> str:
    """docs/scoreboard/index.html: the same, as a page that needs nothing else."""
    newest = [ones[0] for ones in records.values()]
    rows = [
        [f'<a href="#{one["name"]}">{escape(one["name"])}</a>', *map(_cell, _cells(one))] for one in newest
    ]
    parts = [f"<h1>{escape(TITLE.replace('`', ''))}</h1>", soft(LEGEND.replace("*", ""))]
    parts.append(table(rows, ("implementation", *STAGES)))
    for one in newest:
        head = f"{one['repository']} {one['commit']}, {one['date']}: {one['headline']}"
        items = [_item(one, finding) for finding in one["findings"]]
        items += [
            f"<li>earlier: {escape(old['commit'])}, {escape(old['headline'])}</li>"
            for old in records[one["name"]][1:]
        ]
        parts.append(
            f'<h2 id="{one["name"]}">{escape(one["name"])}</h2><p>{escape(head)}</p>{soft(_under(one))}'
            f"<ul>{''.join(items)}</ul>"
        )
    return html.page("s5ref scoreboard", "".join(parts))


def _item(one: Record, finding: Mapping[str, Any]) -> str:
    more = details("smallest input", escape(words)) if (words := _smallest(finding)) else ""
    where = escape(_where(finding).replace("`", ""))
    return f'<li id="{anchor(one, finding)}"><b>{escape(finding["title"])}</b> ({where}){more}</li>'


def _cell(cell: Mapping[str, Any] | None) -> str:
    kind = "not offered" if cell is None else cell["kind"]
    colors = {"right": "agrees", "rounding": "nothing", "inaccurate": "nothing", "not offered": "soft"}
    color = colors.get(kind, "differs")
    return f'<td class="{color}">{escape(_words(cell))}</td>'
