"""What Markdown holds, for automatic analysis: headings, blocks of code, tables, JSON in fences.

CommonMark with tables, as markdown-it-py reads it.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.tasks.base import Surroundings, Task, Values

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_ROWS: dict[str, JsonValue] = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}


class MarkdownParse(Task):
    """`json` is the first fence that holds JSON, `all_json` every one; text is what is left without its marks."""

    name = "markdown_parse"
    aliases = ("parse_markdown", "markdown")
    category = "data"
    description = "The headings, blocks of code, tables and JSON of a text in Markdown."
    inputs = {"text": {"type": "string"}}
    outputs = {
        "headings": {
            "type": "array",
            "items": {"type": "object", "properties": {"level": {"type": "integer"}, "text": {"type": "string"}}},
        },
        "code_blocks": {
            "type": "array",
            "items": {"type": "object", "properties": {"language": {"type": "string"}, "text": {"type": "string"}}},
        },
        "tables": {"type": "array", "items": _ROWS},
        "json": {},
        "all_json": {"type": "array", "items": {}},
        "text": {"type": "string"},
    }
    example = {"text": '# Result\n\n```json\n{"score": 3}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'}

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        text = inputs["text"]
        assert isinstance(text, str)
        tokens = _parser().parse(text)
        blocks = _code_blocks(tokens)
        values = [value for block in blocks for value in _json_in(block)]
        return {
            "headings": _headings(tokens),
            "code_blocks": [*blocks],
            "tables": _tables(tokens),
            "json": values[0] if values else None,
            "all_json": values,
            "text": "\n\n".join(_paragraphs(tokens)),
        }


@functools.cache
def _parser() -> MarkdownIt:
    # 30 ms, for those alone who parse Markdown.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def _headings(tokens: Sequence[Token]) -> list[JsonValue]:
    return [
        {"level": int(token.tag[1:]), "text": _plain(inline)}
        for token, inline in pairwise(tokens)
        if token.type == "heading_open"
    ]


def _code_blocks(tokens: Sequence[Token]) -> list[dict[str, JsonValue]]:
    """Fenced and indented ones; the language is the first word after the fence, empty where there is none."""
    return [
        {"language": (token.info.split() or [""])[0].lower(), "text": token.content}
        for token in tokens
        if token.type in ("fence", "code_block")
    ]


def _json_in(block: dict[str, JsonValue]) -> Iterator[JsonValue]:
    """The value of a block that says it is JSON, or does not say what it is, and can be read as such."""
    if block["language"] in ("json", ""):
        try:
            yield json.loads(str(block["text"]), parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError):
            return


def _finite(text: str) -> float:
    """1e999 is written as JSON writes numbers, and is too large for one."""
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _tables(tokens: Sequence[Token]) -> list[JsonValue]:
    """Each table as rows of cells, the head first."""
    tables: list[JsonValue] = []
    rows: list[JsonValue] = []
    cells: list[JsonValue] = []
    for token, following in pairwise(tokens):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            cells = []
        elif token.type in ("th_open", "td_open"):
            cells.append(_plain(following))
        elif token.type == "tr_close":
            rows.append(cells)
        if following.type == "table_close":
            tables.append(rows)
    return tables


def _paragraphs(tokens: Sequence[Token]) -> Iterator[str]:
    """What is said in words: headings, paragraphs, items and cells, without code."""
    for token in tokens:
        if token.type == "inline" and (text := _plain(token)):
            yield text


def _plain(inline: Token) -> str:
    """The text of an inline part without its marks; a picture is its description."""
    parts: list[str] = []
    for child in inline.children or ():
        if child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
    return "".join(parts).strip()
