"""A picture of graphs: which box, frame and arrow stands where, and what is written in it. Pure; `svg` draws it.

A step is a box, steps within a step and the steps of a table are framed. Invariant: every step of the graphs has one
box, or one frame where it holds others, and the same graphs make the same picture.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from llm_jobs.documents.asked import ASKING
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.pipelines.layered import Point, layered
from llm_jobs.pipelines.mermaid import edges_of, is_table

Step = Mapping[str, JsonValue]
PROMPT, TASK, FILTER, ROWS = "asks a model", "computes", "keeps rows", "makes other rows"
NAME_PX, DETAIL_PX = 15.0, 12.0
BOLD = 1.08  # as wide as letters that are not
LINE = 1.35  # of the size of the letters
PADDING, HEAD = 14.0, 34.0  # inside a box or frame; what a frame's title takes
NAME_CHARS, DETAIL_CHARS = 30, 42
_NARROW, _BROAD = frozenset("ijltfrI.,;:'|!()[]{}/ -"), frozenset("MWmw@%—…")


@dataclass(frozen=True, slots=True)
class Box:
    """One step: its name and what is told of it, in lines as they fit."""

    step: str
    kind: str
    name: tuple[str, ...]
    details: tuple[str, ...]
    told: str  # in full
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Around the steps of a step, whose name it then has, or of a table, or of a job."""

    step: str | None
    title: tuple[str, ...]  # in lines
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All lengths in pixels, all places from the top left."""

    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    frames: tuple[Frame, ...] = ()  # an outer one before those in it
    arrows: tuple[tuple[Point, ...], ...] = ()

    def moved(self, x: float, y: float) -> Picture:
        """The same picture further right and down; its size stays."""
        return replace(
            self,
            boxes=tuple(replace(box, x=box.x + x, y=box.y + y) for box in self.boxes),
            frames=tuple(replace(frame, x=frame.x + x, y=frame.y + y) for frame in self.frames),
            arrows=tuple(tuple((left + x, top + y) for left, top in arrow) for arrow in self.arrows),
        )


def picture(graphs: Sequence[tuple[str, Sequence[Step]]]) -> Picture:
    """The graphs below each other, each under its name."""
    made = [_framed(_arranged(steps, edges_of(steps)), [readable(name)], step=None) for name, steps in graphs]
    tops = [sum(each.height + PADDING for each in made[:index]) for index in range(len(made))]
    moved = [each.moved(PADDING, PADDING + top) for each, top in zip(made, tops, strict=True)]
    width = max((each.width for each in made), default=0.0)
    return _together(moved, width + 2 * PADDING, sum(each.height + PADDING for each in made) + PADDING)


def readable(text: str) -> str:
    """On one line, with a question mark in the place of what cannot be seen, or cannot be written in XML."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))


def text_width(text: str, px: float) -> float:
    """About how wide a text is in a usual font without serifs, rather too much than too little."""
    return px * sum(_em(each) for each in text)


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.37
    if letter in _BROAD or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.74 if letter.isupper() else 0.6


def _arranged(steps: Sequence[Step], edges: Iterator[tuple[int, int]] | None) -> Picture:
    """The steps of one level; without edges side by side."""
    parts = [_part(step) for step in steps]
    makers = [index for index, step in enumerate(steps) if is_table(step)] if edges is not None else []
    tables = [*([0] if makers and makers[0] else []), *makers, len(steps)] if makers else []
    above = {index: HEAD + PADDING if index else HEAD for index in tables[:-1]}
    sizes = [(part.width, part.height) for part in parts]
    laid = layered(sizes, list(edges or ()), above=above | ({0: HEAD} if tables else {}))
    moved = [part.moved(*corner) for part, corner in zip(parts, laid.corners, strict=True)]
    whole = _together(moved, laid.width, laid.height)
    whole = replace(whole, arrows=(*laid.routes, *whole.arrows))
    return _with_tables(whole, steps, laid.corners, sizes, tables) if tables else whole


def _with_tables(
    whole: Picture,
    steps: Sequence[Step],
    corners: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    tables: Sequence[int],
) -> Picture:
    """With a frame around the steps of each table."""
    width = whole.width + 2 * PADDING
    frames = []
    for number, (first, last) in enumerate(pairwise(tables), 1):
        top = min(corners[index][1] for index in range(first, last)) - HEAD
        bottom = max(corners[index][1] + sizes[index][1] for index in range(first, last)) + PADDING
        maker = f"rows of {readable(str(steps[first]['name']))}" if is_table(steps[first]) else "rows of the input"
        title = shortened(f"table {number}: {maker}")
        frames.append(Frame(None, (title,), 0.0, top, width, bottom - top))
        width = max(width, text_width(title, DETAIL_PX) + 2 * PADDING)
    shifted = whole.moved((width - whole.width) / 2, 0.0)
    frames = [replace(frame, width=width) for frame in frames]
    return replace(shifted, width=width, height=whole.height + PADDING, frames=(*frames, *shifted.frames))


def _part(step: Step) -> Picture:
    inner = step.get("steps") or step.get("first_of")
    if not isinstance(inner, list):
        return _boxed(step)
    steps = [each for each in inner if isinstance(each, dict)]
    is_choice = "first_of" in step
    told = [readable(str(step["name"])), *(["the first that succeeds"] if is_choice else []), *_conditions(step)]
    return _framed(_arranged(steps, None if is_choice else edges_of(steps)), told, step=str(step["name"]))


def _framed(within: Picture, told: Sequence[str], *, step: str | None) -> Picture:
    """In a frame that tells its name, and conditions below it."""
    lines = (*_wrapped(told[0]), *(shortened(each) for each in told[1:]))
    head = HEAD + (len(lines) - 1) * DETAIL_PX * LINE
    wide = max(within.width, *(text_width(line, DETAIL_PX) * BOLD for line in lines)) + 2 * PADDING
    height = within.height + head + PADDING
    moved = within.moved((wide - within.width) / 2, head)
    frame = Frame(step, lines, 0.0, 0.0, wide, height)
    return replace(moved, width=wide, height=height, frames=(frame, *moved.frames))


def _wrapped(name: str) -> tuple[str, ...]:
    return tuple(textwrap.wrap(name, NAME_CHARS)) or (name,)


def _boxed(step: Step) -> Picture:
    full = readable(str(step["name"]))
    name = _wrapped(full)
    told = [*_details(step), *_conditions(step)]
    details = tuple(shortened(each) for each in told)
    widths = [text_width(line, NAME_PX) * BOLD for line in name] + [text_width(line, DETAIL_PX) for line in details]
    width = max(widths) + 2 * PADDING
    height = (len(name) * NAME_PX + len(details) * DETAIL_PX) * LINE + PADDING
    box = Box(str(step["name"]), kind_of(step), name, details, "\n".join([full, *told]), 0.0, 0.0, width, height)
    return Picture(width, height, boxes=(box,))


def kind_of(step: Step) -> str:
    """What a step does, in the words of the legend."""
    if "task" in step:
        return TASK
    if "filter" in step:
        return FILTER
    return ROWS if is_table(step) and not set(ASKING) & step.keys() else PROMPT


def _details(step: Step) -> Iterator[str]:
    for key in ("task", "filter", "split"):
        if key in step:
            yield f"{key} · {_short_value(step[key])}"
            return
    for key, word in (("for_each", "for each"), ("for_each_model", "for each model")):
        if key in step:
            yield f"{word} · {_short_value(step[key])}"
    reduce = step.get("reduce")
    if "reduce" in step:
        by = reduce.get("by") if isinstance(reduce, dict) else None
        yield f"reduce · by {_short_value(by)}" if by else "reduce · all rows"
    if kind_of(step) == PROMPT and "for_each_model" not in step:
        model = next((step[key] for key in ("model", "models", "fallback") if step.get(key)), None)
        yield "prompt" if model is None else f"prompt · {_short_value(model)}"


def _conditions(step: Step) -> Iterator[str]:
    loop = step.get("loop")
    if isinstance(loop, dict):
        until = loop.get("until")
        times = "once" if loop.get("at_most") == 1 else f"{loop.get('at_most')} times"
        yield f"at most {times}" + ("" if until is None else f", until {_short_value(until)}")
    if step.get("when") is not None:
        yield f"when · {_short_value(step['when'])}"


def _short_value(value: JsonValue) -> str:
    if isinstance(value, dict | list):
        return ", ".join(_short_value(each) for each in value)
    return readable(str(value))


def shortened(text: str) -> str:
    """With an ellipsis, where it is longer than a box is wide."""
    return text if len(text) <= DETAIL_CHARS else text[: DETAIL_CHARS - 1].rstrip() + "…"


def _together(parts: Sequence[Picture], width: float, height: float) -> Picture:
    return Picture(
        width,
        height,
        boxes=tuple(box for part in parts for box in part.boxes),
        frames=tuple(frame for part in parts for frame in part.frames),
        arrows=tuple(arrow for part in parts for arrow in part.arrows),
    )
