"""A check as one page that needs nothing else: verdict, mistakes, errors over stages and time."""

from __future__ import annotations

from html import escape
from typing import Any

from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.charts import heat_map, over_stages, over_time
from s5ref.verification.conformance.kit.result import Outcome, Result

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --line: #e4e7ec; --paper: #fff;
 --card: #f8f9fb; --good: #12805c; --bad: #c4320a; --warn: #b54708; --blue: #3056d3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2d3543; --paper:
 #11151c; --card: #181e28; --good: #3fbf8f; --bad: #ff7a52; --warn: #f7b267; --blue: #8ea6ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 40px 24px 72px; }
h1 { font-size: 15px; font-weight: 600; color: var(--soft); margin: 0 0 6px; }
h2 { font-size: 19px; margin: 44px 0 4px; }
p { margin: 4px 0 14px; }
.soft { color: var(--soft); }
.verdict { font-size: 34px; line-height: 1.15; font-weight: 700; margin: 0; letter-spacing: -.01em; }
.agrees { color: var(--good); }
.differs, .broken { color: var(--bad); }
.nothing { color: var(--warn); }
.counts { display: flex; flex-wrap: wrap; gap: 10px; margin: 22px 0 0; padding: 0; list-style: none; }
.counts li { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 8px
 16px; min-width: 92px; }
.counts b { display: block; font-size: 22px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.counts span { color: var(--soft); font-size: 13px; }
.mistake { border-left: 4px solid var(--bad); background: var(--card); border-radius: 0 10px 10px 0;
 padding: 12px 18px; margin: 10px 0; }
.mistake b { font-size: 16px; }
.mistake p { margin: 2px 0 0; color: var(--soft); font-size: 13.5px; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .limit { stroke: var(--bad); stroke-dasharray: 5 4; }
svg .good { fill: var(--good); }
svg .bad { fill: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 500; }
td, th { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: 12.5px ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px;
 overflow-x: auto; }
details { margin: 14px 0; }
summary { cursor: pointer; color: var(--blue); }
footer { margin-top: 52px; color: var(--soft); font-size: 13px; }
"""


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
