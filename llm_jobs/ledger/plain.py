"""Plain SQL on a driver's own connection, the same text for both databases.

Texts have `?` for each value. A library that composes SQL would take 0.13 s to import, a fifth of the way from the
start of a process to its first request (docs/decisions/0014-plain-sql-in-the-ledger.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from llm_jobs.ledger.append_only import Dialect

# SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535.
PARAMETERS_AT_ONCE = 10_000

Value = TypeVar("Value")


class Plain:
    """A connection of sqlite3 or psycopg within a transaction. Whoever hands it out begins and ends that."""

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self._connection = connection
        self.dialect = dialect

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        found: list[tuple[Any, ...]] = self._execute(query, values).fetchall()
        return found

    def named(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a query, with the columns as attributes."""
        cursor = self._execute(query, values)
        names = [column[0] for column in cursor.description]
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def scalar(self, query: str, values: Sequence[object] = ()) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = self.rows(query, values)
        return rows[0][0] if rows else None

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """A statement that returns no rows; how many it changed."""
        return int(self._execute(statement, values).rowcount)

    def insert(self, table: str, values: Mapping[str, object]) -> None:
        """Write a row; columns that are not named are null."""
        self.run(_insertion(table, values), list(values.values()))

    def insert_numbered(self, table: str, values: Mapping[str, object]) -> int:
        """The same, in a table that numbers its rows; returns the row's id."""
        return int(self.scalar(f"{_insertion(table, values)} RETURNING id", list(values.values())))

    def _execute(self, text: str, values: Sequence[object]) -> Any:
        if not values:  # a text without values may hold any character
            return self._connection.execute(text)
        return self._connection.execute(text if self.dialect == "sqlite" else text.replace("?", "%s"), values)


def _insertion(table: str, values: Mapping[str, object]) -> str:
    return f"INSERT INTO {table} ({', '.join(map(quoted, values))}) VALUES {marks(len(values))}"


def quoted(column: str) -> str:
    return f'"{column}"'


def marks(count: int) -> str:
    """As many `?` in parentheses."""
    return f"({', '.join('?' * count)})"


def portions(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """`values` in parts that one statement takes."""
    return (values[start : start + PARAMETERS_AT_ONCE] for start in range(0, len(values), PARAMETERS_AT_ONCE))
