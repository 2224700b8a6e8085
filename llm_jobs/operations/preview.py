"""A row as it may be shown beside a result: few members, short texts."""

from __future__ import annotations

from collections.abc import Mapping

MOST_CHARACTERS = 200


def preview_row(row: Mapping[str, object]) -> dict[str, object]:
    """The user's columns and the status, texts cut to 200 characters."""
    shown = {name: _short(value) for name, value in row.items() if not name.startswith("llm_") and name != "body"}
    return {**shown, "llm_status": row.get("llm_status")}


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
