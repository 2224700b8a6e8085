"""Pictures of graphs, from the document to the file: every step has its box, and what users write is never markup."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from PIL import Image, ImageColor

from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.graph import every_step
from llm_jobs.pipelines.layered import layered
from llm_jobs.pipelines.mermaid import edges_of
from llm_jobs.pipelines.picture import FILTER, PROMPT, ROWS, TASK, Box, Frame, Picture, picture
from llm_jobs.pipelines.svg import COLOURS, PIXELS, ZOOM, png
from llm_jobs_tests.cli.house import LLM_JOBS, House
from llm_jobs_tests.pipelines.graphs import Maker

SVG = "{http://www.w3.org/2000/svg}"
SHOPS: dict[str, Any] = {
    "job": {
        "name": "shops",
        "model": "simulated",
        "input": {"rows": [{"shop": "harbour", "review": "Good coffee; cold cake"}]},
        "steps": [
            {"name": "parts", "task": "split_paragraphs", "inputs": {"text": "{{ review }}"}},
            {"name": "place", "needs": [], "text": "Which place? {{ review }}"},
            {"name": "part", "split": "parts"},
            {"name": "long", "filter": "part != 'x'"},
            {
                "name": "polished",
                "loop": {"at_most": 2},
                "steps": [{"name": "draft", "text": "Say {{ part }}"}, {"name": "better", "text": "Mend {{ draft }}"}],
            },
            {
                "name": "rated",
                "when": "part != ''",
                "first_of": [{"name": "quick", "text": "Rate {{ part }}"}, {"name": "slow", "text": "Do {{ part }}"}],
            },
            {"name": "verdict", "reduce": {"by": ["shop"]}, "text": "{% for row in rows %}{{ row.part }}{% endfor %}"},
        ],
    }
}
NAMES = ["parts", "place", "part", "long", "polished", "draft", "better", "rated", "quick", "slow", "verdict"]
UNSEEN = "a\x00b\x1b[31m\u202e\ud800"
HOSTILE = [
    "</text><script>alert(1)</script>",
    "\"'&amp;]]>",
    "a\x00b\x1b[31m\u202e\ud800",
    "<!--",
    "x" * 200,
    "長い名前" * 20,
]


def drawn(*steps: dict[str, Any]) -> Picture:
    return picture([("g", steps)])


def words(root: Element) -> str:
    return " ".join(each.text or "" for each in root.iter(f"{SVG}text"))


def of_steps(root: Element) -> dict[str, Element]:
    found = {group.get("data-step"): group for group in root.iter(f"{SVG}g")}
    return {name: group for name, group in found.items() if name is not None}


def holds(outer: Box | Frame, inner: Box | Frame) -> bool:
    across = outer.x <= inner.x and inner.x + inner.width <= outer.x + outer.width
    return across and outer.y <= inner.y and inner.y + inner.height <= outer.y + outer.height


def middle(box: Box) -> float:
    return box.x + box.width / 2


def lower(box: Box) -> float:
    return box.y + box.height


def apart(one: Box, other: Box) -> bool:
    across = one.x + one.width <= other.x or other.x + other.width <= one.x
    return across or one.y + one.height <= other.y or other.y + other.height <= one.y


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        return image.size


def test_an_svg_of_a_document_has_every_step_and_its_name_as_text(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    printed = house.invoke("graph", "shops.json", "--format", "svg")
    assert printed.exit_code == 0, printed.output
    root = fromstring(printed.stdout)
    assert sorted(of_steps(root)) == sorted(NAMES)
    for name, group in of_steps(root).items():
        assert name in [text.text for text in group.iter(f"{SVG}text")]
    told = words(root)
    for phrase in ("prompt · simulated", "task · split_paragraphs", "split · parts", "filter · part != 'x'"):
        assert phrase in told
    for phrase in ("at most 2 times", "the first that succeeds", "when · part != ''", "reduce · by shop"):
        assert phrase in told
    assert [text for text in ("table 1", "table 2", "table 3", "table 4") if text in told] == [
        "table 1",
        "table 2",
        "table 3",
    ]


def test_a_png_of_a_document_has_the_colour_of_each_step_where_its_box_is(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    saved = house.invoke("graph", "shops.json", "--output", "shops.png")
    assert (saved.exit_code, saved.stdout) == (0, f"the graph is in {tmp_path / 'shops.png'}\n")
    house.invoke("graph", "shops.json", "--output", "shops.svg")
    with Image.open(tmp_path / "shops.png", formats=["PNG"]) as image:
        pixels = image.convert("RGB")
    root = fromstring((tmp_path / "shops.svg").read_text())
    size = (float(root.attrib["width"]) * ZOOM, float(root.attrib["height"]) * ZOOM)
    assert pixels.size == size
    seen = {}
    for name, group in of_steps(root).items():
        box = group.find(f"{SVG}rect")
        if box is None:  # it holds others, and is a frame
            continue
        x, y = (float(box.attrib[key]) * ZOOM for key in ("x", "y"))
        seen[name] = pixels.getpixel((int(x) + 12, int(y) + 12))
    boxes = {PROMPT: "place draft better quick slow verdict", TASK: "parts", FILTER: "long", ROWS: "part"}
    for kind, names in boxes.items():
        for name in names.split():
            assert seen[name] == ImageColor.getrgb(COLOURS[kind][0])
    assert pixels.getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("seed", range(40))
def test_a_picture_has_each_step_once_none_over_another_and_every_arrow_goes_down(seed: int) -> None:
    steps = Maker(seed).document()["job"]["steps"]
    made = picture([("made", steps)])
    names = [box.step for box in made.boxes] + [frame.step for frame in made.frames if frame.step]
    assert sorted(names) == sorted(str(step["name"]) for step in every_step(steps))
    assert all(apart(one, other) for one, other in combinations(made.boxes, 2))
    whole = Frame(None, (), 0, 0, made.width, made.height)
    assert all(holds(whole, box) for box in made.boxes)
    assert all(holds(whole, frame) for frame in made.frames)
    assert all(top <= below for arrow in made.arrows for (_, top), (_, below) in pairwise(arrow))
    assert made == picture([("made", steps)])


def test_arrows_go_from_the_lower_edge_of_a_step_to_the_upper_edge_of_what_needs_it_and_through_no_other() -> None:
    steps: list[dict[str, Any]] = [{"name": f"s{index}", "text": "x", "needs": []} for index in range(12)]
    for index in range(1, 12):
        steps[index]["needs"] = [f"s{each}" for each in sorted({index - 1, index // 2, 0})]
    made = drawn(*steps)
    joined = []
    for arrow in made.arrows:
        (start, bottom), (end, top) = arrow[0], arrow[-1]
        [source] = [
            box.step for box in made.boxes if (middle(box), box.y + box.height) == pytest.approx((start, bottom))
        ]
        [target] = [box.step for box in made.boxes if (middle(box), box.y) == pytest.approx((end, top))]
        joined.append((source, target))
        for box in made.boxes:
            if box.step not in (source, target):
                assert not any(box.x < x < box.x + box.width and box.y < y < lower(box) for x, y in arrow)
    assert joined == [(f"s{source}", f"s{target}") for source, target in edges_of(steps)]


def test_the_frame_of_a_table_holds_its_steps_and_that_of_a_step_those_within_it() -> None:
    made = picture([("shops", SHOPS["job"]["steps"])])
    box = {each.step: each for each in made.boxes}
    held = {frame.title[0]: {name for name, each in box.items() if holds(frame, each)} for frame in made.frames}
    assert held == {
        "shops": set(box),
        "table 1: rows of the input": {"parts", "place"},
        "table 2: rows of part": {"part", "long", "draft", "better", "quick", "slow"},
        "table 3: rows of verdict": {"verdict"},
        "polished": {"draft", "better"},
        "rated": {"quick", "slow"},
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_the_picture(name: str) -> None:
    graph = Builder(name=name).prompt("x", name="first").add({"name": name, "filter": name, "when": name})
    root = fromstring(graph.to_svg())
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "defs", "marker", "path", "rect", "g", "title", "text"}
    assert not [key for element in root.iter() for key in element.attrib if key.startswith(("on", "href"))]
    seen = "".join(words(root).split())
    assert "".join(each if each.isprintable() else "?" for each in "".join(name.split())) in seen
    assert min(size_of(graph.to_png())) > 100


def test_a_picture_is_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    pictures = {seed: piped(tmp_path, seed) for seed in ("1", "2")}
    assert pictures["1"] == pictures["2"]
    assert min(size_of(pictures["1"])) > 100


def piped(folder: Path, seed: str) -> bytes:
    """A PNG as a pipe receives it, with other hashes of texts in the process."""
    command = [LLM_JOBS, "graph", "shops.json", "--format", "png"]
    environment = {**House(folder).environment, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, timeout=120)
    return done.stdout


def test_the_jobs_of_a_document_are_one_picture_below_each_other() -> None:
    made = picture([(name, [{"name": f"of {name}", "text": "x"}]) for name in ("one", "two")])
    first, second = made.frames
    assert (first.title, second.title) == (("one",), ("two",))
    assert first.y + first.height < second.y
    assert [holds(frame, box) for frame, box in zip(made.frames, made.boxes, strict=True)] == [True, True]


def test_a_picture_of_many_steps_has_no_more_pixels_than_viewers_open() -> None:
    steps = [{"name": f"step {index}", "text": "x", "needs": []} for index in range(1, 2_000)]
    pixels = size_of(png(drawn(*steps)))
    assert pixels[0] * pixels[1] <= PIXELS * 1.01
    assert max(pixels) <= 30_000


def test_a_graph_of_a_thousand_steps_that_all_need_the_first_has_one_line_beside_them() -> None:
    edges = [(0, index) for index in range(2, 1_000)] + [(index - 1, index) for index in range(1, 1_000)]
    laid = layered([(100.0, 40.0)] * 1_000, edges, above={})
    assert laid.width < 300
    assert len({route[2] for route in laid.routes[:998]}) == 1


def test_fewer_arrows_cross_than_in_the_order_of_the_document() -> None:
    laid = layered([(100.0, 40.0)] * 6, [(0, 5), (1, 4), (2, 3)], above={})
    lefts = [x for x, _ in laid.corners]
    assert [lefts[source] == lefts[target] for source, target in ((0, 5), (1, 4), (2, 3))] == [True, True, True]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "png", "--json"], "no text that JSON could hold"),
        (["--output", "graph.jpeg"], "graph.jpeg says no format"),
    ],
)
def test_what_no_picture_can_be_is_refused_with_what_to_do(tmp_path: Path, arguments: list[str], told: str) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    refused = house.invoke("graph", "shops.json", *arguments)
    assert refused.exit_code == 2
    assert told in refused.output
    assert not list(tmp_path.glob("graph.*"))


def test_a_png_is_not_written_to_a_terminal(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    ours, terminal = os.openpty()
    command = [LLM_JOBS, "graph", "shops.json", "--format", "png"]
    with open(ours, "rb"), open(terminal, "wb") as stdout:
        done = subprocess.run(
            command, cwd=tmp_path, env=house.environment, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 2
    assert "add --output FILE, or a pipe" in done.stderr


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    (tmp_path / "shops.svg").write_text("mine")
    refused = house.process("graph", "shops.json", "--output", "shops.svg")
    assert refused.returncode != 0
    assert "exists already" in refused.stderr
    assert (tmp_path / "shops.svg").read_text() == "mine"


def test_without_the_extra_a_png_is_refused_with_the_remedy_and_an_svg_is_drawn(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("shops.json", SHOPS)
    without = "import sys; sys.modules['vl_convert'] = None; from llm_jobs.cli.main import main; main()"
    program = (sys.executable, "-c", without)
    refused = house.process("graph", "shops.json", "--output", "shops.png", program=program)
    assert refused.returncode == 3
    assert "pip install 'llm-jobs[png]'" in refused.stderr
    assert not (tmp_path / "shops.png").exists()
    assert house.process("graph", "shops.json", "--format", "svg", program=program).returncode == 0
