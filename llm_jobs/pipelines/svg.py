"""A picture as SVG, and that as PNG. The letters are text, so an SVG can be searched and read aloud.

Nothing outside is referred to, and what users wrote is text and never markup: the XML writer escapes it. PNG is made by
`vl-convert-python`, the extra `png`, which brings fonts of its own, so that no screen, browser or server is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from llm_jobs.errors import SetupError
from llm_jobs.importing import imported
from llm_jobs.pipelines.layered import Point
from llm_jobs.pipelines.picture import (
    DETAIL_PX,
    FILTER,
    LINE,
    NAME_PX,
    PADDING,
    PROMPT,
    ROWS,
    TASK,
    Box,
    Frame,
    Picture,
    readable,
    text_width,
)

COLOURS = {  # fill and line; told apart by people who do not see red or green too, and by the words in the box
    PROMPT: ("#dbeafe", "#1d4ed8"),
    TASK: ("#dcfce7", "#15803d"),
    FILTER: ("#fef3c7", "#b45309"),
    ROWS: ("#f3e8ff", "#7e22ce"),
}
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, GREY = "#111827", "#6b7280"
ZOOM = 2.0  # pixels of a PNG per pixel of the picture, so that letters are sharp on today's screens
PIXELS, SIDE = 40_000_000, 30_000  # of a PNG at most: what browsers and viewers open
LEGEND = 30.0


def svg(picture: Picture) -> str:
    """The picture as an SVG file's text, with a legend of the kinds of steps that are in it."""
    width, height = _size(picture)
    root = Element("svg", _attributes(xmlns="http://www.w3.org/2000/svg", font_family=FONT))
    root.attrib |= _attributes(width=width, height=height, viewBox=f"0 0 {_told(width)} {_told(height)}")
    _arrow_head(root)
    _add(root, "rect", width=width, height=height, fill="#ffffff")
    for frame in picture.frames:
        _draw_frame(root, frame)
    for arrow in picture.arrows:
        _add(root, "path", d=_path(arrow), fill="none", stroke=GREY, stroke_width=1.4, marker_end="url(#head)")
    for frame in picture.frames:
        _write_title(root, frame)
    for box in picture.boxes:
        _draw_box(root, box)
    _draw_legend(root, _kinds(picture), picture.height)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def png(picture: Picture) -> bytes:
    """The same as a PNG of two pixels per pixel, or of as many as most viewers open. Raises SetupError."""
    try:
        vl_convert = imported("vl_convert")
    except ModuleNotFoundError:
        raise SetupError(
            "drawing PNG needs vl-convert-python: pip install 'llm-jobs[png]'; SVG needs nothing: --format svg"
        ) from None
    width, height = _size(picture)
    zoom = min(ZOOM, math.sqrt(PIXELS / (width * height)), SIDE / max(width, height))
    return bytes(vl_convert.svg_to_png(svg(picture), scale=zoom))


def _size(picture: Picture) -> tuple[float, float]:
    legend = sum(_entry_width(kind) for kind in _kinds(picture)) + 2 * PADDING
    return math.ceil(max(picture.width, legend)), math.ceil(picture.height + LEGEND)


def _kinds(picture: Picture) -> list[str]:
    return [kind for kind in COLOURS if any(box.kind == kind for box in picture.boxes)]


def _draw_frame(root: Element, frame: Frame) -> None:
    _add(
        root,
        "rect",
        x=frame.x,
        y=frame.y,
        width=frame.width,
        height=frame.height,
        rx=8,
        fill=_ground(frame),
        stroke="#9ca3af",
        stroke_dasharray=None if frame.step else "5 4",
    )


def _write_title(root: Element, frame: Frame) -> None:
    """Over the arrows, with a rim that keeps those that pass away from the letters."""
    group = _add(root, "g", data_step=None if frame.step is None else readable(frame.step))
    for attribute, value in (("stroke", _ground(frame)), ("stroke-width", "5"), ("paint-order", "stroke")):
        group.set(attribute, value)
    for number, line in enumerate(frame.title):
        y = frame.y + 20 + number * DETAIL_PX * LINE
        weight = "normal" if number and frame.step else "bold"
        _add(group, "text", line, x=frame.x + PADDING, y=y, font_size=DETAIL_PX, font_weight=weight, fill="#374151")


def _ground(frame: Frame) -> str:
    return "#f9fafb" if frame.step is None else "#ffffff"


def _draw_box(root: Element, box: Box) -> None:
    fill, line = COLOURS[box.kind]
    group = _add(root, "g", data_step=readable(box.step))
    _add(group, "title", box.told)
    _add(group, "rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=6, fill=fill, stroke=line)
    middle, y = box.x + box.width / 2, box.y + PADDING / 2
    for text in box.name:
        y += NAME_PX * LINE
        _centred(group, text, middle, y - NAME_PX * 0.32, size=NAME_PX, weight="bold", fill=INK)
    for text in box.details:
        y += DETAIL_PX * LINE
        _centred(group, text, middle, y - DETAIL_PX * 0.32, size=DETAIL_PX, weight="normal", fill="#374151")


def _centred(group: Element, text: str, x: float, y: float, *, size: float, weight: str, fill: str) -> None:
    _add(group, "text", text, x=x, y=y, text_anchor="middle", font_size=size, font_weight=weight, fill=fill)


def _draw_legend(root: Element, kinds: Iterable[str], top: float) -> None:
    x = PADDING
    for kind in kinds:
        fill, line = COLOURS[kind]
        _add(root, "rect", x=x, y=top, width=16, height=16, rx=4, fill=fill, stroke=line)
        _add(root, "text", kind, x=x + 22, y=top + 12.5, font_size=DETAIL_PX, fill="#374151")
        x += _entry_width(kind)


def _entry_width(kind: str) -> float:
    return text_width(kind, DETAIL_PX) + 40


def _arrow_head(root: Element) -> None:
    definitions = _add(root, "defs")
    head = _add(definitions, "marker", id="head", viewBox="0 0 8 8", refX=7.5, refY=4, markerWidth=7, markerHeight=7)
    head.set("orient", "auto")
    _add(head, "path", d="M0 0 L8 4 L0 8 z", fill=GREY)


def _path(points: Sequence[Point]) -> str:
    """Through the points: straight where it goes straight down, else in a curve that leaves and arrives so."""
    parts = [f"M{_told(points[0][0])} {_told(points[0][1])}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        if (x, y) == (to_x, to_y):
            continue
        if abs(x - to_x) < 0.5:
            parts.append(f"L{_told(to_x)} {_told(to_y)}")
            continue
        middle = _told((y + to_y) / 2)
        parts.append(f"C{_told(x)} {middle} {_told(to_x)} {middle} {_told(to_x)} {_told(to_y)}")
    return " ".join(parts)


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str | float | None) -> Element:
    element = SubElement(parent, tag, _attributes(**attributes))
    element.text = text
    return element


def _attributes(**values: str | float | None) -> dict[str, str]:
    return {
        name.replace("_", "-"): value if isinstance(value, str) else _told(value)
        for name, value in values.items()
        if value is not None
    }


def _told(length: float) -> str:
    return f"{round(length, 1):g}" if abs(length) < 100_000 else f"{length:.0f}"
