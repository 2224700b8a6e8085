"""Where two texts differ, for a person: word by word, each stretch cut short."""

from __future__ import annotations

import difflib
import re

SHOWN_CHARACTERS = 60
_CONTEXT = 12
_WORDS = re.compile(r"\S+|\s+")
_MOST_COMPARISONS = 40_000  # a tenth of a second at worst


def text_change(old: str, new: str) -> str:
    """Where two texts differ, word by word, with some characters around it: `…rate the [-review-]{+film+} from…`."""
    start = _common_start(old, new)
    start = start[: start.rfind(" ") + 1]
    end = _common_start(old[len(start) :][::-1], new[len(start) :][::-1])[::-1]
    end = end[end.find(" ") :] if " " in end else ""
    between = _between(old[len(start) : len(old) - len(end)], new[len(start) : len(new) - len(end)])
    return _around(start, first=True) + between + _around(end, last=True)


def _common_start(old: str, new: str) -> str:
    differs = (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    return old[: next(differs, min(len(old), len(new)))]


def _between(old: str, new: str) -> str:
    words, others = _WORDS.findall(old), _WORDS.findall(new)
    if len(words) * len(others) > _MOST_COMPARISONS:
        return _replaced(old, new)
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, words, others, autojunk=False).get_opcodes():
        before, after = "".join(words[a:b]), "".join(others[c:d])
        parts.append(_around(before) if kind == "equal" else _replaced(before, after))
    return "".join(parts)


def _replaced(old: str, new: str) -> str:
    return (f"[-{shown_text(old)}-]" if old else "") + (f"{{+{shown_text(new)}+}}" if new else "")


def _around(text: str, *, first: bool = False, last: bool = False) -> str:
    """The ends of an unchanged stretch that touch a change."""
    if len(text) <= 2 * _CONTEXT:
        return text
    head = "" if first else text[:_CONTEXT]
    tail = "" if last else text[-_CONTEXT:]
    return f"{head}…{tail}"


def shown_text(text: str) -> str:
    """`text`, cut to what fits on a line beside another."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
