"""A finding as the text of an issue: polite, exact, and reproducible without s5ref."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.verification.conformance.adapters.field import FIELD
from s5ref.verification.conformance.scoreboard.findings import array_of

DISCRETIZE = {
    "zoh": ("np.exp(Lambda * Delta)", "(np.exp(Lambda * Delta) - 1) / Lambda"),
    "bilinear": ("(1 + Delta * Lambda / 2) / (1 - Delta * Lambda / 2)", "Delta / (1 - Delta * Lambda / 2)"),
    "dirac": ("np.exp(Lambda * Delta)", "np.ones_like(Lambda)"),
}


def issue(record: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """The text of an issue about one finding of a record."""
    smallest, name = finding["smallest"], record["name"]
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    parts = [
        f"# {_title(finding)}",
        "Hello, and thank you for making this code public. "
        "While comparing implementations of S5 I found a difference that I would like to report; I looked "
        f"at commit {record['commit']} with {versions}. It is well possible that it is meant to be so: then "
        "a word in the documentation would help others who compare.",
        f"**What differs.** {_words(finding)} ({finding['where']}).",
    ]
    call = FIELD[name].call if name in FIELD else ""
    if call:
        parts.append(f"**How it was called.** {call}")
    if smallest is not None:
        parts.append(_question(smallest))
        if code := reproduction(smallest):
            parts.append(f"What S5 gives for it, in plain NumPy:\n\n```python\n{code}\n```")
        if smallest["got"] is not None:
            got, want = (_text(array_of(smallest[key])) for key in ("got", "want"))
            parts.append(f"`{smallest['output']}` is\n\n```\n{got}\n```\n\ninstead of\n\n```\n{want}\n```")
        elif smallest["said"]:
            parts.append(f"Instead of numbers it {smallest['said']}.")
    again = f"s5ref check {name} --repo . --only {finding['cases'][0]!r}" if finding["cases"] else ""
    parts.append(
        f"The comparison can be repeated in a checkout by `{again}`; {len(finding['cases'])} cases show it."
    )
    return "\n\n".join(parts) + "\n"


def _title(finding: Mapping[str, Any]) -> str:
    words = _words(finding)
    return textwrap.shorten(f"{finding['stage']}: {words[:1].lower()}{words[1:]}", 100, placeholder=" …")


def _words(finding: Mapping[str, Any]) -> str:
    """The title, without the number of a known mistake."""
    title = re.sub(r"\bM\d+: ", "", finding["title"])
    return title[:1].upper() + title[1:]


def _question(smallest: Mapping[str, Any]) -> str:
    options = {n: v for n, v in smallest["options"].items() if n not in ("of", "seed", "dtype")}
    said = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"**The smallest input that I found** ({smallest['dtype']}{', ' + said if said else ''}):"


def reproduction(smallest: Mapping[str, Any]) -> str:
    """A program in NumPy that prints the right answer; "" for a stage that a few lines do not show."""
    inputs = {name.removeprefix("params."): array_of(x) for name, x in smallest["inputs"].items()}
    lines = ["import numpy as np", "", *(f"{name} = {_literal(x)}" for name, x in inputs.items())]
    options, stage = smallest["options"], smallest["stage"]
    method = options.get("method" if stage == "discretize" else "discretization", "zoh")
    if method not in DISCRETIZE or options.get("bidirectional") or options.get("clip_eigs"):
        return ""
    Lambda_bar, gain = DISCRETIZE[method]
    if stage == "discretize":
        return "\n".join(
            [*lines, "", f"Lambda_bar = {Lambda_bar}", f"gain = {gain}", "print(Lambda_bar, gain)"]
        )
    if stage == "scan":
        return "\n".join([*lines, "", *_loop(inputs, "Bu", options.get("reverse", False), "Bu[n, k]")])
    if stage == "ssm" and options.get("of", "ssm") == "ssm":
        scale = options.get("step_rescale", 1.0)
        steps = f"{scale} * np.exp(log_step)" if scale != 1 else "np.exp(log_step)"
        if "intervals" in inputs:
            steps = f"intervals[..., None] * {steps}"
        twice = "2 * " if options.get("conj_sym", True) else ""
        more = [f"Delta = {steps}", f"Lambda_bar = {Lambda_bar}", f"gain = {gain}"]
        put = "gain[n, k] * (B @ u[n, k])" if "intervals" in inputs else "gain * (B @ u[n, k])"
        loop = _loop(inputs, "u", False, put)
        return "\n".join([*lines, "", *more, *loop[:-1], f"print({twice}(x @ C.T).real + D * u)"])
    return ""


def _loop(inputs: Mapping[str, Any], over: str, reverse: bool, put: str) -> list[str]:
    """The recurrence, example by example and step by step."""
    varying = "intervals" in inputs or np.ndim(inputs.get("Lambda_bar", 0)) == 3
    P = inputs["Bu"].shape[-1] if "Bu" in inputs else len(inputs["Lambda"])
    state, steps = "x0[n]" if "x0" in inputs else f"np.zeros({P})", f"range({over}.shape[1])"
    reset = "reset_state" if "reset_state" in inputs else f"np.zeros({P})"
    return [
        f"x = np.zeros((*{over}.shape[:2], {P}), complex)",
        f"for n in range(len({over})):",
        f"    state = {state}",
        f"    for k in {f'reversed({steps})' if reverse else steps}:",
        *([f"        state = {reset} if resets[n, k] else state"] if "resets" in inputs else []),
        f"        state = {'Lambda_bar[n, k]' if varying else 'Lambda_bar'} * state + {put}",
        "        x[n, k] = state",
        "print(x)",
    ]


def _literal(x: Any) -> str:
    return f"np.array({np.asarray(x).tolist()!r})"


def _text(x: Any) -> str:
    return np.array2string(np.asarray(x), precision=9, separator=", ")
