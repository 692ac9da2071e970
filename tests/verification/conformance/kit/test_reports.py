"""JUnit XML, the badge, tracebacks and printed words, values without gradients, interruptions."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from s5ref.verification.conformance.kit import check, console
from s5ref.verification.conformance.kit.badge import badge
from s5ref.verification.conformance.kit.junit import junit
from s5ref.verification.conformance.kit.run import Interrupted
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent
FEW = [c for c in cases() if c.id.startswith(("scan/forward/L9/P3", "discretize/zoh/P4/f"))]


def test_junit_has_a_test_of_each_case() -> None:
    result = check("bad:Raises", folder=HERE, questions=FEW)
    suites = xml.fromstring(junit(result))
    tests = {test.get("name"): test for test in suites.iter("testcase")}
    assert set(tests) == {o.id for o in result.outcomes}
    failed = tests["scan/forward/L9/P3/f32"].find("failure")
    assert failed is not None
    assert failed.get("message") == "raised ZeroDivisionError: no such scan"
    assert "Traceback" in (failed.text or "")
    skipped = tests["discretize/zoh/P4/f32"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "no discretize"
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in suites}
    assert counts["scan"] == (str(result.count("failed")),) * 2


def test_junit_of_what_passes_has_no_failure() -> None:
    suites = xml.fromstring(junit(check("numpy", folder=HERE, questions=FEW)))
    assert list(suites.iter("failure")) == list(suites.iter("skipped")) == []


@pytest.mark.parametrize(
    ("target", "color", "word"),
    [
        ("numpy", "brightgreen", "agrees"),
        ("bad:NotANumber", "orange", "differs"),
        ("bad:Raises", "red", "broken"),
    ],
)
def test_the_badge_has_the_keys_of_shields(target: str, color: str, word: str) -> None:
    made = badge(check(target, folder=HERE, questions=FEW))
    assert (made["schemaVersion"], made["label"], made["color"]) == (1, "S5", color)
    assert made["message"].startswith(word)


def test_traces_show_the_candidates_own_lines_once() -> None:
    lines = list(console.traces(check("bad:Raises", folder=HERE, questions=FEW)))
    text = "\n".join(lines)
    assert text.count('raise ZeroDivisionError("no such scan")') == 1
    assert "bad.py" in text


def test_what_it_prints_belongs_to_the_case_that_it_was_printed_in() -> None:
    result = check("bad:Prints", folder=HERE, questions=FEW)
    said = {o.id: o.trace for o in result.outcomes}
    assert sorted(said["scan/forward/L9/P3/f32"].splitlines()) == ["and below Python", "to stdout"]
    assert said["discretize/zoh/P4/f32"] == ""


def test_what_a_candidate_printed_before_it_died_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(
        "import os\nclass S5:\n    def scan(self, *args):\n"
        "        print('last words', flush=True)\n        os._exit(3)\n"
    )
    result = check("dies:S5", "scan/forward/L9/P3/f32", folder=tmp_path)
    assert result.outcomes[0].trace == "last words"


def test_values_alone_have_no_cotangents() -> None:
    result = check("numpy", "scan/forward/L9/P3/f32", folder=HERE, gradients=False)
    assert {m.output for m in result.outcomes[0].measures} == {"x", "x_last"}


def test_an_interruption_keeps_what_was_found() -> None:
    def stop(outcome: object) -> None:
        raise KeyboardInterrupt(15)

    with pytest.raises(Interrupted) as caught:
        check("numpy", report=stop, folder=HERE, questions=FEW)
    assert caught.value.args == (15,)
    assert [o.status for o in caught.value.result.outcomes] == ["passed"]
