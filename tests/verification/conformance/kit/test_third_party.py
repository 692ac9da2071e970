"""The adapter that docs/conformance.md shows, taken from the page and run as its reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "conformance.md"
COMMAND = "import sys; from s5ref.cli import check; from s5ref.cli.output import Output; o = Output(False)"


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = f"{COMMAND}; sys.exit(o.finish(check.run(check.parser().parse(sys.argv[1:]), o)))"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)


def _blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_adapter_of_the_page_is_thirty_lines_and_agrees(tmp_path: Path) -> None:
    [adapter] = _blocks("python")
    assert len([line for line in adapter.splitlines() if line.strip()]) <= 31
    (tmp_path / "my_s5.py").write_text(adapter, encoding="utf-8")
    ran = _run(tmp_path, "my_s5:MyS5")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("my_s5:MyS5: AGREES with S5")
    assert re.search(
        r"selected \d+ · ran [67]\d · passed [67]\d · failed 0 · .* unsupported 2\d\d", ran.stdout
    )


def test_the_capability_file_of_the_page_is_understood(tmp_path: Path) -> None:
    (tmp_path / "my_s5.py").write_text(_blocks("python")[0], encoding="utf-8")
    (tmp_path / "s5ref-conformance.toml").write_text(_blocks("toml")[0], encoding="utf-8")
    ran = _run(tmp_path, "my_s5:MyS5")
    assert ran.returncode == 1
    assert "expected failures pass" in ran.stdout  # this adapter has no such weakness: the line must go


def test_a_mistake_in_it_is_named(tmp_path: Path) -> None:
    wrong = _blocks("python")[0].replace("return 2 * (x @", "return (x @")
    (tmp_path / "my_s5.py").write_text(wrong, encoding="utf-8")
    ran = _run(tmp_path, "my_s5:MyS5", "--html", "report.html")
    assert ran.returncode == 1
    assert "M20: your outputs equal S5 without the factor 2 of conjugate symmetry" in ran.stdout
    assert "first at C/D" in ran.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert not re.search(r"""(src|href)\s*=(?!"data:)|url\(|@import|<script""", page)
    assert "without the factor 2" in page
