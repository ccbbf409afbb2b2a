"""Plots: well-formed, the same for the same input, every line named."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from bench import chart
from bench.chart import Line, Point

SVG = "{http://www.w3.org/2000/svg}"


def line(name, *figures):
    points = [Point(10**i, figure, figure * 0.9, figure * 1.1) for i, figure in enumerate(figures)]
    return Line(name, name.upper(), points)


def drawn(*lines):
    return chart.plot("A & B", "things", "ns", [1, 10, 100], lines)


def heights(text, label):
    """Where the marks of a line lie, from left to right."""
    root = ElementTree.fromstring(text)
    group = next(g for g in root.iter(f"{SVG}g") if g.findtext(f"{SVG}title") == label)
    places = [path.get("transform") for path in group if path.get("transform")]
    return [float(re.findall(r"[\d.]+", place)[1]) for place in places]


def test_the_same_figures_give_the_same_bytes():
    assert drawn(line("treadle", 1, 2, 3)) == drawn(line("treadle", 1, 2, 3))


def test_each_line_is_in_the_legend():
    root = ElementTree.fromstring(drawn(line("treadle", 1, 2, 3), line("unheard-of", 3, 4, 5)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"TREADLE", "UNHEARD-OF", "A & B"} <= set(texts)


def test_equal_factors_are_equal_distances():
    first, second, third = heights(drawn(line("treadle", 1, 10, 100)), "TREADLE")
    assert first - second == pytest.approx(second - third, abs=0.2)


def test_a_cost_that_does_not_grow_is_a_level_line():
    assert len(set(heights(drawn(line("treadle", 5, 5, 5)), "TREADLE"))) == 1


def test_a_figure_of_nothing_is_left_out():
    assert len(heights(drawn(line("treadle", 0, 5, 5)), "TREADLE")) == 2


def test_dark_ground_has_colours_of_its_own():
    text = drawn(line("treadle", 1, 2, 3))
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    assert chart.LOOKS["treadle"].light in light
    assert chart.LOOKS["treadle"].dark in dark


def test_without_figures_there_is_no_plot():
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn(line("treadle", 0, 0, 0))


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.5, "0.5"), (1500, "1.5k"), (1_000_000, "1M")]
)
def test_ticks_are_short(value, text):
    assert chart.short(value) == text
