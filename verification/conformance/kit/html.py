"""A check as one page that needs nothing else: verdict, mistakes, errors over stages and time."""

from __future__ import annotations

from html import escape
from typing import Any

from s5ref.page import html
from s5ref.page.html import code, counts, table
from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.charts import heat_map, over_stages, over_time
from s5ref.verification.conformance.kit.result import Outcome, Result


def page(result: Result) -> str:
    """The whole page."""
    verdict = result.verdict
    parts = [
        f"<h1>s5ref check {escape(result.target)}</h1>",
        f'<p class="verdict {verdict.split()[0]}">{escape(console.verdict_line(result))}</p>',
        counts((str(n), word) for word, n in result.counts.items()), _mistakes(result), _forms(result),
        _first(result),
        _stages(result), _failures(result), _rest(result),
    ]  # fmt: skip
    return html.page(f"{result.target} {verdict} · s5ref check", "".join(parts))


def _mistakes(result: Result) -> str:
    mistakes = result.mistakes
    if not mistakes:
        return ""
    wrong = result.count("failed") + result.count("xfail")
    cards = "".join(
        f'<div class="mistake"><b>{escape(name)}</b><p>explains {len(outcomes)} of {wrong} failures, '
        f"first {code(outcomes[0].id)}</p></div>"
        for name, outcomes in mistakes.items()
    )
    lead = '<p class="soft">With these put into s5ref, it gives your numbers.</p>'
    return f"<h2>The mistakes that explain it</h2>{lead}{cards}"


def _forms(result: Result) -> str:
    rows = [[escape(words), str(len(shown)), code(shown[0].id)] for words, shown in result.forms.items()]
    return f"<h2>Another form of S5, no mistake</h2>{table(rows, ('form', 'cases', 'first'))}" if rows else ""


def _first(result: Result) -> str:
    outcome = result.first
    if outcome is None:
        return ""
    text = f"<h2>Where it first diverges: {escape(outcome.where)}</h2>"
    text += f"<p>{escape(outcome.comment)} {code(outcome.id)}</p><p>{escape(console.size(outcome))}"
    worst = outcome.worst
    if worst is not None and not worst.fault:
        text += f"<br>got {code(_number(worst.got))}, should be {code(_number(worst.want))}"
    text += "</p>"
    if outcome.stage != "audit":
        text += f"<pre>{code(result.replay(outcome))}</pre>"
    text += _smallest(result)
    drawn = [
        (o, o.worst.heat) for o in (outcome, *result.of("failed")) if o.worst and o.worst.heat is not None
    ]
    if drawn:
        shown, _ = min(drawn, key=lambda pair: pair[1].ndim < 3)
        if shown is not outcome:
            text += f"<h2>What it looks like</h2><p>{code(shown.id)}</p>"
        text += over_time(shown) + heat_map(shown)
    return text


def _smallest(result: Result) -> str:
    found = [o.smallest for o in result.outcomes if o.smallest is not None]
    text = "<h2>The smallest inputs that show it</h2>" if found else ""
    for one in found:
        text += f"<p>{escape(one.words)}</p>"
        if one.test:
            text += f"<details><summary>as a test</summary><pre>{code(one.test)}</pre></details>"
    return text


def _stages(result: Result) -> str:
    rows = (
        [escape(stage), escape(ran), escape(worst), code(where), escape(words)]
        for stage, ran, worst, where, words in console.stage_rows(result)
    )
    as_table = table(rows, ("stage", "ran", "worst", "where", ""), numeric=(1, 2))
    return (
        "<h2>Error over the stages</h2><p class='soft'>A dot is the worst output of a case, in units of the "
        "rounding that it may have: left of the line is rounding, right of it is not.</p>"
        f"{over_stages(result)}<details><summary>as a table</summary>{as_table}</details>"
    )


def _failures(result: Result) -> str:
    failed = [*result.of("xpass"), *result.of("failed"), *result.of("xfail")]
    if not failed:
        return ""
    return f"<h2>What failed</h2>{table(map(_failure, failed), ('case', 'worst', 'what'), numeric=(1,))}"


def _failure(o: Outcome) -> list[str]:
    words = o.reason if o.status in ("xfail", "xpass") else "; ".join(o.names) or console.size(o)
    status = "" if o.status == "failed" else f"<b>{o.status}</b> "
    return [code(o.id), "" if o.worst is None else console.ratio(o.worst), status + escape(words)]


def _rest(result: Result) -> str:
    text = ""
    if left := [[code(words)] for words in result.left_running]:
        text += f"<h2>Left running by the candidate, and ended</h2>{table(left)}"
    if unsupported := [[escape(line.strip())] for line in console.unsupported(result)]:
        text += f"<details><summary>not asked, by reason</summary>{table(unsupported)}</details>"
    if passed := [[code(o.id)] for o in result.of("passed")]:
        text += f"<details><summary>confirmed: {len(passed)} cases</summary>{table(passed)}</details>"
    where = escape(console.environment(result)).replace("\n", "<br>")
    return f"{text}<footer>{where}<br>{result.seconds:.1f} s</footer>"


def _number(z: Any) -> str:
    z = complex(z)
    return (
        f"{z.real:.9g}" if not z.imag else f"{z.real:.9g} {'+' if z.imag >= 0 else '−'} {abs(z.imag):.9g} i"
    )
