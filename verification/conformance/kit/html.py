"""A check as one page that needs nothing else: verdict, mistakes, errors over stages and time."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.charts import heat_map, over_stages, over_time
from s5ref.verification.conformance.kit.result import Outcome, Result

STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def page(result: Result) -> str:
    """The whole page."""
    verdict = result.verdict
    parts = [
        f"<h1>s5ref check {escape(result.target)}</h1>",
        f'<p class="verdict {verdict.split()[0]}">{escape(console.verdict_line(result))}</p>',
        _counts(result), _mistakes(result), _first(result), _stages(result), _failures(result), _rest(result),
    ]  # fmt: skip
    title = f"{escape(result.target)} {verdict} · s5ref check"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _counts(result: Result) -> str:
    pairs = [("selected", len(result.outcomes)), ("ran", result.ran)]
    pairs += [(s, result.count(s)) for s in ("passed", "failed", "xfail", "xpass", "unsupported")]
    items = "".join(f"<li><b>{count}</b><span>{word}</span></li>" for word, count in pairs)
    return f'<ul class="counts">{items}</ul>'


def _mistakes(result: Result) -> str:
    found = result.mistakes
    if not found:
        return ""
    wrong = result.count("failed") + result.count("xfail")
    cards = "".join(
        f'<div class="mistake"><b>{escape(name)}</b><p>explains {len(outcomes)} of {wrong} failures, '
        f"first <code>{escape(outcomes[0].id)}</code></p></div>"
        for name, outcomes in found.items()
    )
    lead = '<p class="soft">With these put into s5ref, it gives your numbers.</p>'
    return f"<h2>The mistakes that explain it</h2>{lead}{cards}"


def _first(result: Result) -> str:
    outcome = result.first
    if outcome is None:
        return ""
    text = f"<h2>Where it first diverges: {escape(outcome.where)}</h2>"
    text += f"<p>{escape(outcome.comment)} <code>{escape(outcome.id)}</code></p>"
    text += f"<p>{escape(console.size(outcome))}"
    worst = outcome.worst
    if worst is not None and not worst.fault:
        text += f"<br>got <code>{_number(worst.got)}</code>, should be <code>{_number(worst.want)}</code>"
    text += "</p>"
    if outcome.stage != "audit":
        text += f"<pre><code>{escape(result.replay(outcome))}</code></pre>"
    drawn = [o for o in (outcome, *result.of("failed")) if o.worst is not None and o.worst.heat is not None]
    drawn.sort(key=lambda o: o.worst is None or o.worst.heat is None or o.worst.heat.ndim < 3)
    if drawn:
        title = (
            ""
            if drawn[0] is outcome
            else f"<h2>What it looks like</h2><p><code>{escape(drawn[0].id)}</code></p>"
        )
        text += title + over_time(drawn[0]) + heat_map(drawn[0])
    return text


def _stages(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{escape(stage)}</td><td class='n'>{escape(ran)}</td><td class='n'>{escape(worst)}</td>"
        f"<td><code>{escape(where)}</code></td><td>{escape(words)}</td></tr>"
        for stage, ran, worst, where, words in console.stage_rows(result)
    )
    head = "<tr><th>stage</th><th>ran</th><th>worst</th><th>where</th><th></th></tr>"
    return (
        "<h2>Error over the stages</h2><p class='soft'>A dot is the worst output of a case, in units of the "
        f"rounding that it may have: left of the line is rounding, right of it is not.</p>"
        f"{over_stages(result)}"
        f"<details><summary>as a table</summary><table>{head}{rows}</table></details>"
    )


def _failures(result: Result) -> str:
    failed = [*result.of("xpass"), *result.of("failed"), *result.of("xfail")]
    if not failed:
        return ""
    rows = "".join(_failure(o) for o in failed)
    head = "<tr><th>case</th><th>worst</th><th>what</th></tr>"
    return f"<h2>What failed</h2><table>{head}{rows}</table>"


def _failure(o: Outcome) -> str:
    worst = "" if o.worst is None else console.ratio(o.worst)
    words = o.reason if o.status in ("xfail", "xpass") else "; ".join(o.names) or console.size(o)
    return (
        f"<tr><td><code>{escape(o.id)}</code></td><td class='n'>{worst}</td>"
        f"<td>{'' if o.status == 'failed' else f'<b>{o.status}</b> '}{escape(words)}</td></tr>"
    )


def _rest(result: Result) -> str:
    lines = "".join(f"<tr><td>{escape(line.strip())}</td></tr>" for line in console.unsupported(result))
    unsupported = (
        f"<details><summary>not asked, by reason</summary><table>{lines}</table></details>" if lines else ""
    )
    passed = "".join(f"<tr><td><code>{escape(o.id)}</code></td></tr>" for o in result.of("passed"))
    title = f"<summary>confirmed: {result.count('passed')} cases</summary>"
    confirmed = f"<details>{title}<table>{passed}</table></details>"
    where = escape(console.environment(result)).replace("\n", "<br>")
    return f"{unsupported}{confirmed if passed else ''}<footer>{where}<br>{result.seconds:.1f} s</footer>"


def _number(z: Any) -> str:
    z = complex(z)
    return (
        f"{z.real:.9g}" if not z.imag else f"{z.real:.9g} {'+' if z.imag >= 0 else '−'} {abs(z.imag):.9g} i"
    )
