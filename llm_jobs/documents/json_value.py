"""The type of what JSON can say. Imports nothing, so that everything can name it."""

from __future__ import annotations

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
