"""Charts: places, ticks, what is left out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from s5ref.page.chart import LEFT, POINTS, RIGHT, WIDTH, Chart


def points(svg: str) -> list[tuple[float, float]]:
    """Of the only path."""
    [d] = [path.get("d", "") for path in ET.fromstring(svg).iter("path")]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", d)]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter("text")]


def test_points_stand_where_their_values_are() -> None:
    chart = Chart("a line", "x", "y")
    chart.add("line", [0, 1, 2, 4], [1.0, 3.0, 5.0, 9.0])
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points(chart.svg())
    assert x0 == LEFT
    assert x0 < x1 < x2 < x3 < WIDTH - RIGHT
    assert x3 - x2 == pytest.approx(2 * (x1 - x0), abs=0.2)
    assert y0 > y1 > y2 > y3  # up
    assert y2 - y3 == pytest.approx(2 * (y1 - y2), abs=0.2)


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero() -> None:
    chart = Chart("a line", log_y=True)
    chart.add("line", [0, 1, 2, 3], [1.0, 0.0, 100.0, 10.0])
    svg = chart.svg()
    (_, y0), (_, y2), (_, y3) = points(svg)
    assert (y0 + y2) / 2 == pytest.approx(y3, abs=0.2)
    assert {"1", "10", "100"} <= set(texts(svg))


def test_dots_have_the_sizes_that_they_are_given() -> None:
    chart = Chart("dots")
    chart.add("dots", [0, 1, 2], [1.0, np.nan, 2.0], sizes=np.array([1.5, 2.5, 3.5]))
    chart.add("dots", [0], [1.0])
    assert re.findall(r" r='?([\d.]+)", chart.svg()) == ["1.5", "3.5", "3.4"]


def test_a_gap_where_a_value_is_missing() -> None:
    chart = Chart("a line")
    chart.add("line", [0, 1, 2], [1.0, np.nan, 2.0])
    assert re.search(r"d='M[-\d. ]+M[-\d. ]+'", chart.svg())


def test_a_long_line_keeps_its_extremes() -> None:
    y = np.zeros(50 * POINTS)
    y[777], y[9999] = 5.0, -5.0
    chart = Chart("noise")
    chart.add("line", np.arange(len(y)), y)
    drawn = points(chart.svg())
    assert len(drawn) <= 2 * POINTS + 2
    assert len({up for _, up in drawn}) == 3


def test_ticks_are_round_and_whole_numbers_stay_whole() -> None:
    epochs = Chart("epochs")
    epochs.add("line", [1, 2, 3], [0.1, 0.7, 1.2])
    assert [t for t in texts(epochs.svg()) if re.fullmatch(r"[\d.]+", t)][:3] == ["1", "2", "3"]
    tiny = Chart("tiny")
    tiny.add("line", [0.0, 1.0], [-2e-7, 3e-7])
    assert "−2·10⁻⁷" in texts(tiny.svg())


def test_rows_names_and_words_are_escaped() -> None:
    chart = Chart("<x> & 'y'", "a < b", rows=["r&s"])
    chart.add("dots", [1.0, 2.0], [0, 0], name="<name>", titles=["<a>", "b"])
    svg = ET.fromstring(chart.svg())
    assert svg.get("aria-label") == "<x> & 'y'"
    assert {"a < b", "r&s", "<name>"} <= set(texts(chart.svg()))
    assert [title.text for title in svg.iter("title")] == ["<a>", "b"]


@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0], [float("nan")], [0.0]])
@pytest.mark.parametrize("shape", ["line", "dots", "bars"])
def test_nothing_and_one_value_are_drawn_without_an_error(values: list[float], shape: str) -> None:
    for log in {False, shape != "bars"}:
        chart = Chart("few", log_y=log)
        chart.add(shape, np.arange(len(values)), values)
        chart.rule("y", 1.0)
        assert "nan" not in chart.svg()
