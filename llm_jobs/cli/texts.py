"""What commands print: cells for people, JSON for programs, and the words of `observability.texts`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from llm_jobs.observability.texts import count, dollars, duration, number, visible, visible_lines

__all__ = ["cell", "compact_json", "count", "dollars", "duration", "number", "visible", "visible_lines"]


def compact_json(facts: Mapping[str, object]) -> str:
    """One line of JSON in ASCII: safe for any terminal, pipe and encoding."""
    return json.dumps(facts, separators=(",", ":"), default=str)


def cell(value: object, *, most: int = 80) -> str:
    """A value in a table for people; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return visible(value, most=most)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict | list):
        return visible(json.dumps(value, ensure_ascii=False, default=str), most=most)
    return visible(str(value), most=most)
