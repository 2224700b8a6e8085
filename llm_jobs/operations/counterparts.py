"""Which rows of one table were rows of another: by a key that both have, else by all of their values.

Values are compared as text, so that a table that was written again in another format has the same rows. Some 60 bytes
of memory per row of the other table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from llm_jobs.documents.json_value import JsonValue

KEYS = ("custom_id", "id", "key", "uuid")  # columns that name a row, the first that both tables have

Row = Mapping[str, JsonValue]


class Counterparts:
    """The rows of the other table. A row that was looked for counts as found."""

    def __init__(self, rows: Iterable[Row], columns: Iterable[str]) -> None:
        """`columns`: of the table whose rows will be looked for."""
        self._contents: set[int] = set()
        self._keys: dict[int, int] = {}  # key -> content
        self._found: set[int] = set()
        self.key: str | None = None
        wanted = set(columns)
        for number, row in enumerate(rows):
            if not number:
                self.key = next((name for name in KEYS if name in row and name in wanted), None)
            content = _digest(row)
            self._contents.add(content)
            if self.key is not None:
                self._keys[_digest({"": row.get(self.key)})] = content

    def has(self, row: Row) -> bool:
        """Is there a row with the same values?"""
        content = _digest(row)
        if content in self._contents:
            self._found.add(content)
            return True
        return False

    def has_key(self, row: Row) -> bool:
        """Is there a row of the same key, whatever its other values?"""
        content = None if self.key is None else self._keys.get(_digest({"": row.get(self.key)}))
        if content is None:
            return False
        self._found.add(content)
        return True

    def find(self, rows: Iterable[Row]) -> None:
        """Look for each of `rows`."""
        for row in rows:
            _ = self.has(row) or self.has_key(row)

    @property
    def gone(self) -> int:
        """Rows of the other table that nobody looked for."""
        return len(self._contents) - len(self._found)


def _digest(row: Row) -> int:
    text = "\x1f".join([f"{name}\x1e{_text(row[name])}" for name in sorted(row) if row[name] is not None])
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _text(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, sort_keys=True)
