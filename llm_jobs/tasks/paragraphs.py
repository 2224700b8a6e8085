"""A text split into its paragraphs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_jobs.documents.job import JsonValue
from llm_jobs.errors import RowError
from llm_jobs.tasks.base import OWN, Surroundings, Task

_BLANK = re.compile(r"\n[ \t]*\n\s*")


class SplitParagraphs(Task):
    """Paragraphs are what blank lines part; none is empty."""

    name = "split_paragraphs"
    description = "The paragraphs of a text, as a list."
    inputs = {"text": {"type": "string"}}
    outputs = {OWN: {"type": "array", "items": {"type": "string"}}}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        text = inputs["text"]
        if not isinstance(text, str):
            raise RowError(f"split_paragraphs reads a text, and got {type(text).__name__}")
        return {OWN: [part.strip() for part in _BLANK.split(text) if part.strip()]}
