"""The project's Markdown pages: their fenced blocks, headings, links and tables. Reads text; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "deploy/*.md", "data/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text and the line of its fence."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def codes(text: str) -> list[str]:
    """What stands as code: the fenced blocks, then the words between backticks."""
    return [block.text for block in blocks(text)] + re.findall(r"`([^`]+)`", without_blocks(text))


def links(text: str) -> list[str]:
    """Where links and pictures lead."""
    return _LINK.findall(without_blocks(text))


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", without_blocks(text), re.MULTILINE)


def section(text: str, heading: str) -> str:
    """The text under a heading of the second level."""
    [found] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def table_after(text: str, mark: str) -> Iterator[dict[str, str]]:
    """The rows of the table that follows `mark`, by column."""
    lines = text.split(mark, 1)[1].strip().split("\n\n", 1)[0].splitlines()
    names, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for row in rows:
        yield dict(zip(names, row, strict=True))


def tables(text: str, head: str) -> Iterator[dict[str, str]]:
    """The rows of every table whose first line begins with `head`, by column."""
    for part in text.split(f"\n{head}")[1:]:
        yield from table_after(f"\0{head}{part}", "\0")
