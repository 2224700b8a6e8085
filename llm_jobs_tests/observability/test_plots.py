"""Plots as text: well-formed, to scale, and harmless whatever the names in them are."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.observability.plots import Panel, Series, markdown, svg

NUMBERS = st.one_of(st.none(), st.floats(min_value=0, max_value=1e12, allow_subnormal=False))


def bars(*values: float | None, unit: str = "") -> str:
    panel = Panel(title="cost", kind="bars", series=[Series(name="one", values=values)], unit=unit)
    return svg([panel], [str(place) for place in range(len(values))])


def labels(image: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(image).iter() if text.get("text-anchor") == "end"]


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.sampled_from(["lines", "bars"]), st.text(max_size=50))
def test_every_plot_is_well_formed_and_every_mark_lies_inside(values: list[float | None], kind: str, name: str) -> None:
    printable = "".join(letter for letter in name if letter.isprintable())
    panel = Panel(
        title=printable,
        kind="lines" if kind == "lines" else "bars",
        series=[Series(name=printable, values=values), Series(name="two", values=values)],
    )
    image = ElementTree.fromstring(svg([panel, panel], [printable] * len(values)))
    width, height = float(image.attrib["width"]), float(image.attrib["height"])
    for mark in image.iter("{http://www.w3.org/2000/svg}rect"):
        x, y = float(mark.get("x", 0)), float(mark.get("y", 0))
        assert 0 <= x <= x + float(mark.attrib["width"]) <= width + 0.1
        assert 0 <= y <= y + float(mark.attrib["height"]) <= height + 0.1


@pytest.mark.parametrize(
    ("highest", "unit", "last"),
    [(7.3, "$", "$8"), (0.00012, "$", "$0.00015"), (1234.0, "s", "1,500 s"), (0.0, "", "1"), (2.0, "", "2.0")],
)
def test_the_axis_ends_at_a_round_number_above_the_highest_value(highest: float, unit: str, last: str) -> None:
    assert labels(bars(highest, unit=unit))[-1] == last


def test_bars_stand_on_each_other() -> None:
    panel = Panel(
        title="cost", kind="bars", series=[Series(name="one", values=[1.0]), Series(name="two", values=[3.0])]
    )
    heights = [
        float(height) for height in re.findall(r'height="([\d.]+)" fill="#(?:0072b2|e69f00)"', svg([panel], ["a"]))
    ]
    lower, upper = heights[2:] if len(heights) == 4 else heights
    assert upper == pytest.approx(3 * lower, abs=0.3)


def test_a_name_is_text_and_nothing_else() -> None:
    image = svg(
        [Panel(title="<script>x()</script>", kind="lines", series=[Series(name='"/><b>', values=[1.0])])], ["<i>"]
    )
    names = {element.tag.partition("}")[2] for element in ElementTree.fromstring(image).iter()}
    assert names <= {"svg", "rect", "text", "path", "circle"}


def test_in_markdown_it_is_an_image_that_holds_itself() -> None:
    found = re.fullmatch(r"!\[latency\]\(data:image/svg\+xml;base64,([\w+/=]+)\)", markdown(bars(1.0), alt="latency"))
    assert found is not None
    assert base64.b64decode(found[1]).decode() == bars(1.0)
