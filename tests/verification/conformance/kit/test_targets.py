"""Built-in targets, the words of a target, capability files, and the pytest plugin."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from s5ref.errors import S5Error
from s5ref.verification.conformance.kit import as_json, check
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.kit.capability import read, selected
from s5ref.verification.conformance.kit.targets import checked
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent
PLUGIN = "s5ref.verification.conformance.kit.plugin"
pytest_plugins = ["pytester"]
FEW = [c for c in cases() if c.id.startswith(("scan/forward/L9", "discretize/zoh/P4"))]


@pytest.mark.parametrize("target", ["sequential", "numpy", "numba"])
def test_our_engines_agree(target: str, tmp_path: Path) -> None:
    result = check(target, folder=tmp_path)
    assert (result.verdict, [o.id for o in result.of("failed", "unsupported")]) == ("agrees", [])
    found = as_json(result)
    assert found["selected"] == found["ran"] == found["passed"] == len(list(cases())) + len(BEHAVIOURS)
    assert found["first_divergence"] is None
    assert found["named_mistakes"] == []


@pytest.mark.parametrize("target", ["numbba", "s5_pytorch", "module", "a b:c", ":x", "", "it's"])
def test_a_word_that_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(S5Error, match="TARGET must be"):
        checked(target)


def test_a_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(S5Error, match="not a program"):
        checked("./no_such_program")


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(S5Error, match="matches no case"):
        selected(FEW, "scan/sideways")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("features = 3", "features has the wrong type"),
        ("feature = []", "Did you mean features"),
        ("timeout = -1", "timeout must be a positive number; got -1"),
        ("memory = nan", "memory must be a positive number; got nan"),
        ("memory = true", "memory has the wrong type"),
        ("not toml", "not valid TOML"),
        ('features = ["bidirectionale"]', "Did you mean bidirectional"),
        ('dtypes = ["float16"]', "unknown dtype"),
        ('xfail = {"scan/sideways" = "why"}', "matches no case"),
    ],
)
def test_a_capability_file_that_means_nothing_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s5ref-conformance.toml").write_text(text)
    with pytest.raises(S5Error, match=words):
        check("numpy", folder=tmp_path)


def test_claims_limit_what_is_asked_and_expected_failures_are_strict(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text((HERE / "bad.py").read_text())
    (tmp_path / "s5ref-conformance.toml").write_text(
        'features = ["reverse"]\ndtypes = ["float32"]\nxfail = {"scan/forward/L8/P3/f32" = "not yet"}\n'
    )
    assert read(tmp_path).dtypes == ["float32"]
    broken = check("bad:NotANumber", only="scan/forward/L8/P3/f32", folder=tmp_path)
    assert (broken.verdict, broken.count("xfail"), broken.count("failed")) == ("agrees", 1, 0)
    right = check("bad:Scan", folder=tmp_path)
    assert (right.verdict, right.count("xpass"), right.count("failed")) == ("differs", 1, 0)
    reasons = {o.reason for o in right.of("unsupported")}
    assert {"no float64", "does not claim irregular", "no ssm"} <= reasons


def test_the_plugin_makes_a_test_of_every_case(pytester: pytest.Pytester) -> None:
    (pytester.path / "bad.py").write_text((HERE / "bad.py").read_text())
    (pytester.path / "s5ref-conformance.toml").write_text('xfail = {"scan/forward/L8/P3/f32" = "not yet"}\n')
    installed = any(e.value == PLUGIN for e in entry_points(group="pytest11"))
    plugin = ("-p", "no:cacheprovider", *(() if installed else ("-p", PLUGIN)))
    run = pytester.runpytest_subprocess(
        *plugin, "--s5ref-impl", "bad:Scan", "--s5ref-only", "scan/forward/L[89]/P3/f*"
    )
    run.assert_outcomes(passed=3, failed=1)
    run.stdout.fnmatch_lines(
        [
            "*passes, though s5ref-conformance.toml expects it to fail: not yet*",
            "*s5ref: bad:Scan*",
            "DIFFERS from its capability file*",
            "selected 4*",
        ]
    )
    run = pytester.runpytest_subprocess(
        *plugin, "--s5ref-impl", "bad:NotANumber", "--s5ref-only", "scan/forward/L8/P3"
    )
    run.assert_outcomes(xfailed=1, failed=1)
    refused = pytester.runpytest_subprocess(*plugin, "--s5ref-impl", "bad:Scan", "--s5ref-only", "sideways")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
