"""The pages in a browser: nothing is wider than a phone, nothing goes wrong, all sections are laid out."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from s5ref.data.batches import Dataset
from s5ref.show import compare, fitted, report
from s5ref.show.page import page, view
from s5ref.show.record import read

pytestmark = pytest.mark.browser
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr",
]  # fmt: skip
MEASURE = """<script>
const boxes = [...document.querySelectorAll("section, svg, figure")].map(e => e.getBoundingClientRect());
const facts = {
  page: document.documentElement.scrollWidth, window: window.innerWidth,
  empty: boxes.filter(box => box.width < 100 || box.height < 20).length, boxes: boxes.length,
  titles: [...document.querySelectorAll("h2")].map(e => e.textContent),
  clipped: [...document.querySelectorAll("svg")].filter(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].some(text => {
      const box = text.getBoundingClientRect();
      return box.left < frame.left - 2 || box.right > frame.right + 2;
    });
  }).map(svg => svg.getAttribute("aria-label")),
};
parent.postMessage(JSON.stringify(facts), "*");
</script>"""
FRAME = """<body><pre id="facts"></pre><script>
addEventListener("message", event => document.getElementById("facts").textContent = event.data);
</script><iframe src="page.html" width="WIDTH" height="900" style="border:0"></iframe></body>"""


def opened(html: str, width: int, folder: Path) -> tuple[dict[str, Any], str]:
    """What a browser made of the page in a frame of that width, and what it had to say.

    A window cannot be as narrow as a phone.
    """
    (folder / "page.html").write_text(html.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    file = folder / "frame.html"
    file.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    command = ["chromium", *OPTIONS, f"--user-data-dir={folder / f'profile-{width}'}"]
    ran = subprocess.run(
        [*command, "--window-size=1400,900", "--virtual-time-budget=5000", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<pre id=\"facts\">(.*?)</pre>", ran.stdout, re.DOTALL)
    assert found, ran.stderr
    facts: dict[str, Any] = json.loads(unescape(found[1]))
    return facts, "\n".join(line for line in ran.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_run(run: Path, digits: Dataset, tmp_path: Path, width: int) -> None:
    html = page(view(run, dataset=lambda _: digits, engine="numpy"))
    facts, console = opened(html, width, tmp_path)
    assert console == ""
    assert (facts["page"], facts["window"]) == (width, width)
    assert facts["titles"] == re.findall(r"<h2>(.*?)</h2>", html)
    assert facts["boxes"] > 30
    assert (facts["empty"], facts["clipped"]) == (0, [])


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_the_page_of_a_fit(kind: str, request: pytest.FixtureRequest, tmp_path: Path, width: int) -> None:
    html = fitted.page(fitted.view(request.getfixturevalue(kind)))
    facts, console = opened(html, width, tmp_path)
    assert (console, facts["page"], facts["empty"], facts["clipped"]) == ("", width, 0, [])
    assert facts["titles"] == re.findall(r"<h2>(.*?)</h2>", html)
    assert facts["boxes"] > 15


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_comparison(run: Path, seeds: Path, tmp_path: Path, width: int) -> None:
    long = "a/folder/" + "with-a-long-name" * 6
    facts, console = opened(compare.page({"a": read(run), long: read(seeds)}), width, tmp_path)
    assert (console, facts["page"], facts["empty"], facts["clipped"]) == ("", width, 0, [])


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_report(run: Path, seeds: Path, tmp_path: Path, width: int) -> None:
    """Beside published results, which digits have none of."""
    records = [
        replace(record, loaded=replace(record.loaded, config=replace(record.config, task="listops")))
        for record in read(seeds)
    ]
    long = "a/folder/" + "with-a-long-name" * 6
    facts, console = opened(report.page({long: records, "b": read(run)}), width, tmp_path)
    assert (console, facts["page"], facts["empty"], facts["clipped"]) == ("", width, 0, [])
    assert facts["boxes"] > 8


def test_what_is_too_wide_and_what_goes_wrong_is_found(tmp_path: Path) -> None:
    wide = "<svg aria-label='wide'><text x='-90'>out</text></svg><script>console.error('oh')</script>"
    facts, console = opened(f"<body><main>{wide}<p style='width:900px'>wide</p></main></body>", 390, tmp_path)
    assert facts["page"] > 390
    assert facts["clipped"] == ["wide"]
    assert "oh" in console
