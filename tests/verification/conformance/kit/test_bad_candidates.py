"""Whatever a candidate does is reported by name, and ends neither the run nor the cases after it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import Result, check
from s5ref.verification.conformance.stages import Case, cases

HERE = Path(__file__).parent
FIRST = [c for c in cases() if c.id.startswith(("scan/forward/L9/P3/f", "scan/forward/L8/P3/f"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(HERE / "bad.py", tmp_path)
    (tmp_path / "s5ref-conformance.toml").write_text("timeout = 1.5\n")
    return tmp_path


def _checked(folder: Path, name: str, questions: list[Case] = FIRST) -> Result:
    return check(f"bad:{name}", folder=folder, questions=questions)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Raises", "raised ZeroDivisionError: no such scan"),
        ("Leaves", "raised SystemExit: leaving"),
        ("Exits", "died: the process ended with exit code 7"),
        ("Crashes", "died: the process ended with signal SIGSEGV"),
        ("OneValue", "returned another form: scan must return (x, x_last); it returned ndarray"),
        ("NotAnArray", "returned a object instead of an array"),
        ("Elsewhere", "returned an array on another device: cuda:0 (return it on the CPU)"),
    ],
)
def test_every_case_is_asked_and_says_what_happened(folder: Path, name: str, words: str) -> None:
    result = _checked(folder, name)
    assert result.verdict == "broken"
    assert [o.fault for o in result.outcomes] == [words] * len(FIRST)
    assert (result.ran, result.count("failed")) == (len(FIRST), len(FIRST))


@pytest.mark.parametrize(
    ("name", "fault", "verdict"),
    [
        ("WrongShape", "shape (2, 1, 3) instead of (2, 9, 3)", "differs"),
        ("WrongDtype", "dtype complex256 instead of complex64", "broken"),
        ("NotANumber", "NaN", "differs"),
    ],
)
def test_arrays_that_cannot_be_compared(folder: Path, name: str, fault: str, verdict: str) -> None:
    result = _checked(folder, name)
    assert result.verdict == verdict
    assert result.outcomes[0].worst is not None
    assert result.outcomes[0].worst.fault == fault
    assert not result.mistakes


def test_a_hang_is_ended_and_a_new_child_goes_on(folder: Path) -> None:
    result = _checked(folder, "OnlyTheFirstHangs", [FIRST[0], *FIRST[2:]])
    assert [o.status for o in result.outcomes] == ["failed", "passed", "passed"]
    assert result.outcomes[0].fault == "hung: no answer within 1.5 s; the process was ended"
    assert result.seconds < 30


def test_a_stage_that_always_hangs_is_not_asked_for_ever(folder: Path) -> None:
    scans = [c for c in cases() if c.stage == "scan"][:5]
    result = _checked(folder, "Hangs", scans)
    assert [o.fault.split(":")[0] for o in result.outcomes] == ["hung"] * 3 + ["not asked"] * 2
    assert result.verdict == "broken"


def test_what_it_prints_does_not_disturb(folder: Path) -> None:
    assert _checked(folder, "Prints").verdict == "agrees"


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("Nothing", "nothing ran", ""),
        ("CannotBeMade", "broken", "loading it: RuntimeError: needs a licence"),
        ("DiesBeingMade", "broken", "loading it: the process ended with exit code 9"),
        ("NoSuchClass", "broken", "loading it: AttributeError: module 'bad' has no attribute 'NoSuchClass'"),
    ],
)
def test_without_a_stage_or_without_a_candidate(folder: Path, name: str, verdict: str, words: str) -> None:
    result = _checked(folder, name)
    assert (result.verdict, result.broken, result.count("passed")) == (verdict, words, 0)


def test_a_module_that_does_not_exist(folder: Path) -> None:
    result = check("no_such_module:S5", folder=folder, questions=FIRST)
    assert result.broken == "loading it: ModuleNotFoundError: No module named 'no_such_module'"
