"""Two texts side by side with what differs marked, word by word. Pure; text in, HTML out.

Ratcliff and Obershelp's matching (difflib) over words, after what both begin and end with is taken off. It is quadratic
in the worst case, so texts of more than MOST_WORDS are compared line by line, and what has more lines is marked whole.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from llm_jobs.observability.rendered import escaped

MOST_WORDS = 4_000
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


def marked(first: str, second: str) -> tuple[str, str]:
    """Both texts as HTML; in `<del>` what only the first has, in `<ins>` what only the second has."""
    tokens = _tokens(first, second)
    if tokens is None:
        return _in("del", first), _in("ins", second)
    before, after = tokens
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    middle = [slice(head, len(each) - tail) for each in (before, after)]
    left, right = _middle(before[middle[0]], after[middle[1]])
    opening, closing = escaped("".join(before[:head])), escaped("".join(before[len(before) - tail :]))
    return opening + left + closing, opening + right + closing


def _tokens(first: str, second: str) -> tuple[list[str], list[str]] | None:
    for pattern in (_WORDS, _LINES):
        before, after = pattern.findall(first), pattern.findall(second)
        if max(len(before), len(after)) <= MOST_WORDS:
            return before, after
    return None


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many tokens both begin with."""
    alike = (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(alike, min(len(first), len(second)))


def _middle(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    left, right = [], []
    for what, i, j, k, m in difflib.SequenceMatcher(None, before, after).get_opcodes():
        write: Callable[[str, str], str] = _plain if what == "equal" else _in
        left.append(write("del", "".join(before[i:j])))
        right.append(write("ins", "".join(after[k:m])))
    return "".join(left), "".join(right)


def _plain(tag: str, text: str) -> str:
    return escaped(text)


def _in(tag: str, text: str) -> str:
    return f"<{tag}>{escaped(text)}</{tag}>" if text else ""
