"""A test left out for want of something is named, and fails the run where that thing is required."""

from __future__ import annotations

from pathlib import Path

import needs
import pytest

pytest_plugins = ["pytester"]

CASE = """
import pytest
@pytest.mark.gpu
def test_on_a_gpu(): pass
def test_anywhere(): pass
"""


PROCESSES = pytest.mark.parametrize("processes", ["0", "2"])  # pytest -n


def _run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: str, required: str
) -> pytest.RunResult:
    for source in (Path(str(needs.__file__)), Path(__file__).with_name("conftest.py")):
        (pytester.path / source.name).write_text(source.read_text())
    pytester.makepyfile(CASE)
    pytester.makeini("[pytest]\nmarkers = gpu: needs an NVIDIA GPU\npythonpath = .\n")
    monkeypatch.setenv("S5REF_REQUIRE", required)
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    return pytester.runpytest_subprocess("-n", processes)


@PROCESSES
def test_what_is_missing_is_counted_and_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    result = _run(pytester, monkeypatch, processes, required="torch")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["left out for want of gpu: 1 (*::test_on_a_gpu)"])
    assert result.ret == 0


@PROCESSES
def test_what_is_required_and_missing_fails_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    result = _run(pytester, monkeypatch, processes, required="gpu,torch")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret != 0


def test_every_need_has_its_marker(pytestconfig: pytest.Config) -> None:
    marked = {line.split(":")[0] for line in pytestconfig.getini("markers")}
    assert set(needs.NEEDS) <= marked
