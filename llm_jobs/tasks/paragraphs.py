"""A text split into its paragraphs, or into pieces of a bounded length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.tasks.base import OWN, Surroundings, Task, Values

_BLANK = re.compile(r"\n[ \t]*\n\s*")
_ENDS = re.compile(r"(?<=[.!?…])\s+|\s+")  # between sentences, else between words


class SplitParagraphs(Task):
    """Paragraphs are what blank lines part; none is empty.

    With `max_chars` each piece holds as many whole paragraphs as fit, and a longer paragraph is divided between
    sentences, else between words, else anywhere. `overlap`: each piece begins with so many last characters of the one
    before it, within `max_chars`.
    """

    name = "split_paragraphs"
    aliases = ("split_document", "split_text", "split_document_into_paragraphs")
    description = "The paragraphs of a text, or pieces of it of a bounded length, as a list."
    inputs = {
        "text": {"type": "string"},
        "max_chars": {"type": ["integer", "null"], "minimum": 1, "default": None},
        "overlap": {"type": "integer", "minimum": 0, "default": 0},
    }
    outputs = {OWN: {"type": "array", "items": {"type": "string"}}}
    example = {"text": "one\n\ntwo\n\nthree", "max_chars": 8, "overlap": 0}
    fixed = frozenset({"max_chars", "overlap"})

    def written(self, inputs: Values) -> Values:
        most, overlap = inputs.get("max_chars"), inputs.get("overlap", 0)
        if isinstance(overlap, int) and overlap and not (isinstance(most, int) and overlap < most):
            raise ValueError("an overlap is shorter than a piece: max_chars is to be larger than overlap")
        return inputs

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        text, most, overlap = inputs["text"], inputs["max_chars"], inputs["overlap"]
        assert isinstance(text, str)
        assert isinstance(overlap, int)
        parts = [part.strip() for part in _BLANK.split(text) if part.strip()]
        if not isinstance(most, int):
            return {OWN: [*parts]}
        room = most - overlap
        pieces = _joined([piece for part in parts for piece in _divided(part, room)], room)
        return {OWN: _overlapping(pieces, overlap)}


def _divided(text: str, most: int) -> Iterator[str]:
    while len(text) > most:
        ends = [match.start() for match in _ENDS.finditer(text, 0, most + 1)]
        sentences = [end for end in ends if text[end - 1] in ".!?…"]
        end = (sentences or ends or [most])[-1] or most
        yield text[:end]
        text = text[end:].lstrip()
    if text:
        yield text


def _joined(pieces: Sequence[str], most: int) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and len(joined[-1]) + 2 + len(piece) <= most:
            joined[-1] += "\n\n" + piece
        else:
            joined.append(piece)
    return joined


def _overlapping(pieces: Sequence[str], overlap: int) -> list[JsonValue]:
    if not overlap:
        return [*pieces]
    return [(pieces[at - 1][-overlap:] if at else "") + piece for at, piece in enumerate(pieces)]
