"""Values as HTML for a report: text, rendered Markdown, JSON, vectors, and the messages of a request.

Everything that comes from a document, a table or a model passes `escaped` or `rendered` here. Long texts are cut, and
say so: a page is for reading, `llm-jobs show` for the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_jobs.observability.rendered import MOST_CHARACTERS, escaped, has_markup, rendered

PREVIEW_CHARACTERS = 180
MOST_NUMBERS = 16  # of a vector
_TEXT_MEMBERS = ("text", "content", "input_text", "output_text")


def value_html(value: Any, *, as_markdown: bool = False) -> str:
    """A value in full, as far as a page shows it. `as_markdown`: texts are rendered, with their source beside."""
    if value is None:
        return '<p class="none">nothing</p>'
    if isinstance(value, str):
        parsed = _parsed(value) if as_markdown else None
        if parsed is not None:
            return _code(_json(parsed))
        return _markdown(value) if as_markdown and has_markup(value) else text_html(value)
    if isinstance(value, list) and len(value) > MOST_NUMBERS and all(isinstance(each, int | float) for each in value):
        first = ", ".join(f"{number:g}" for number in value[:4])
        return f'<p class="none">{len(value):,} numbers: {first}, …</p>'
    return _code(_json(value)) if isinstance(value, dict | list) else text_html(plain(value))


def text_html(text: str) -> str:
    """A text as it is written, white space and all."""
    shown, note = _cut(text)
    return f'<p class="text" dir="auto">{escaped(shown)}</p>{note}'


def preview(values: Mapping[str, Any] | None) -> str:
    """The first words of some values, on one line; escaped."""
    if values is None:
        return ""
    parts = [_one_line(value) for value in values.values() if value is not None]
    text = " · ".join(parts)
    return escaped(text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…")


def plain(value: Any) -> str:
    """A value as one text; what is no text as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value) if isinstance(value, dict | list) else _scalar(value)


def request_html(body: bytes) -> str:
    """A request body as a reader wants it: its messages by role, then the parameters."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return text_html(body.decode("utf-8", "backslashreplace"))
    if not isinstance(request, dict):
        return _code(_json(request))
    asked = list(_messages(request))
    used = {"messages", "system", "instructions", "input", "prompt"} if asked else set()
    rest = {name: value for name, value in request.items() if name not in used}
    said = "".join(f'<p class="role">{escaped(role)}</p>{text_html(text)}' for role, text in asked)
    return said + (f"<details><summary>parameters</summary>{_code(_json(rest))}</details>" if rest else "")


def _messages(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Role and text of what is asked, in the shapes of OpenAI, Anthropic and Ollama."""
    for name in ("system", "instructions"):
        if name in request:
            yield "system", _content(request[name])
    asked = request.get("messages", request.get("input", request.get("prompt")))
    for each in asked if isinstance(asked, list) else [] if asked is None else [asked]:
        if isinstance(each, dict) and "role" in each:
            yield str(each["role"]), _content(each.get("content", each))
        else:
            yield "input", _content(each)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_content(part) for part in content)
    if isinstance(content, dict):
        for name in _TEXT_MEMBERS:
            if isinstance(content.get(name), str):
                return str(content[name])
    return plain(_without_data(content))


def _without_data(value: Any) -> Any:
    """Images and files in a request by how long they are."""
    if isinstance(value, dict):
        return {name: _without_data(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_data(each) for each in value]
    if isinstance(value, str) and len(value) > 1000 and " " not in value:
        return f"{value[:40]}… ({len(value):,} characters)"
    return value


def _markdown(text: str) -> str:
    shown, note = _cut(text)
    source = f'<details class="source"><summary>source</summary>{text_html(text)}</details>'
    return f'<div class="markdown" dir="auto">{rendered(shown)}</div>{note}{source}'


def _code(text: str) -> str:
    shown, note = _cut(text)
    return f'<pre dir="auto">{escaped(shown)}</pre>{note}'


def _cut(text: str) -> tuple[str, str]:
    """What of a text is shown, and a line that says what is not."""
    if len(text) <= MOST_CHARACTERS:
        return text, ""
    more = len(text) - MOST_CHARACTERS
    return text[:MOST_CHARACTERS], f'<p class="cut">… and {more:,} more characters</p>'


def _parsed(text: str) -> Any:
    """The object or list that a text is the JSON of, else None."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict | list) else None


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except RecursionError:
        return "(nested too deeply to be shown)"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e15 else str(value)


def _one_line(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > MOST_NUMBERS:
        return f"{len(value):,} values"
    return " ".join(plain(value)[: 4 * PREVIEW_CHARACTERS].split())
