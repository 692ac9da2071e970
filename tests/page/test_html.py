"""Tables and pages."""

from __future__ import annotations

from s5ref.page.html import Section, counts, details, figures, page, sections, soft, table


def test_a_page_is_whole_and_escapes_its_words() -> None:
    html = page("a < b", sections([Section("1 < 2", soft("x & y"))]) + counts([("3", "<items>")]))
    assert "<title>a &lt; b</title>" in html
    assert "<h2>1 &lt; 2</h2>" in html
    assert "x &amp; y" in html
    assert "&lt;items&gt;" in html
    assert "<script" not in html
    assert "http" not in html


def test_cells_are_html_and_numbers_stand_at_the_right() -> None:
    html = table([["<b>a</b>", "1"], ['<th scope="row">c</th>', "2"]], ("name", "n"), numeric=(1,))
    assert "<th>name</th><th class='n'>n</th>" in html
    assert "<td><b>a</b></td><td class='n'>1</td>" in html
    assert '<tr><th scope="row">c</th><td' in html


def test_captions_and_summaries() -> None:
    assert "<figcaption>&lt;c&gt;</figcaption>" in figures([("<c>", "<svg/>")])
    assert details("more", "<p>x</p>") == "<details><summary>more</summary><p>x</p></details>"
