"""Whatever a candidate does is reported by name, and ends neither the run nor the cases after it."""

from __future__ import annotations

import shutil
import sys
from html import escape
from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import Result, as_json, check
from s5ref.verification.conformance.kit.html import page
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
        (
            "WritesToEveryDescriptor",
            "bad:WritesToEveryDescriptor answered {'ok': False}, which is no answer: some of its code writes "
            "to a file descriptor that it did not open (write to stdout or stderr, or to files of its own)",
        ),
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


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Allocates", "raised MemoryError: Unable to allocate 128. MiB"),
        ("AbortsWithoutMemory", "died: the process ended with signal SIGABRT:   what():  std::bad_alloc"),
    ],
)
def test_a_limit_of_memory_is_said_to_be_the_kit_s(folder: Path, name: str, words: str) -> None:
    (folder / "s5ref-conformance.toml").write_text("memory = 1\n")
    [outcome] = _checked(folder, name, FIRST[:1]).outcomes
    assert outcome.fault.startswith(words)
    assert "the limit of 1 GiB is the kit's and no judgement of the candidate" in outcome.fault
    assert "memory = GIB in s5ref-conformance.toml" in outcome.fault
    (folder / "s5ref-conformance.toml").write_text("memory = 4\n")  # as the message says
    if name == "Allocates":
        assert _checked(folder, name, FIRST[:1]).verdict == "agrees"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by their environment in /proc")
def test_a_process_that_it_leaves_is_ended_and_named_everywhere(folder: Path) -> None:
    result = _checked(folder, "LeavesAProcess", FIRST[:1])
    assert result.verdict == "agrees"
    [words] = result.left_running
    assert words.endswith(f"(process {(folder / 'pid').read_text()})")
    assert as_json(result)["left_running"] == [words]
    assert escape(words) in page(result)


@pytest.mark.parametrize("target", ["numpy", "bad:Scan"])
def test_no_module_of_the_folder_is_taken_for_one_of_ours(folder: Path, target: str) -> None:
    for name in ("numpy", "json", "s5ref", "scipy"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'executed')!r}, 'a').write(__name__)")
    result = check(target, folder=folder, questions=FIRST[:1])
    assert (result.verdict, result.broken) == ("agrees", "")
    assert not (folder / "executed").exists()


def test_a_module_that_does_not_exist(folder: Path) -> None:
    result = check("no_such_module:S5", folder=folder, questions=FIRST)
    assert result.broken == "loading it: ModuleNotFoundError: No module named 'no_such_module'"
