"""Values as database drivers give them, as JSON values; and what a result shows of columns that become text here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.problems import Problems

Row = dict[str, JsonValue]
MOST_DIGITS = 38  # of decimal128
REMEDIES: Mapping[type, str] = {
    bytes: "write encode(column, 'base64') in PostgreSQL, hex(column) in SQLite, or leave the column out",
    memoryview: "write encode(column, 'base64'), or leave the column out",
    timedelta: "write EXTRACT(EPOCH FROM column), which are seconds",
}


class QueryValues:
    """Converts the records of one query, and notes what their columns hold."""

    def __init__(self, names: Sequence[str], problems: Problems) -> None:
        """Raises DocumentError for two columns of one name."""
        for at, name in enumerate(names):
            if name in names[:at]:
                problems.add(
                    "two columns have one name",
                    key=name,
                    rule="the columns of a query are named apart",
                    remedy=f"name one of them anew: `{name} AS other_{name}`",
                )
        problems.refuse()
        self._names = list(names)
        self._problems = problems
        self._faces: dict[str, set[str]] = {name: set() for name in names}
        self._digits: dict[str, tuple[int, int]] = {}  # before and behind the point, at most

    def row(self, record: Sequence[Any]) -> Row:
        """One row. A value that JSON does not have is noted as a problem; a type that it lacks is raised at once."""
        row: Row = {}
        for name, value in zip(self._names, record, strict=True):
            kind = type(value)
            row[name] = value if kind in PLAIN or value is None else self._converted(name, value, kind)
        return row

    def shown(self) -> dict[str, pa.DataType]:
        """The types of columns whose values are all of one kind that is text here, by name."""
        found = {}
        for name, faces in self._faces.items():
            if len(faces) == 1 and (kind := self._face(name, next(iter(faces)))) is not None:
                found[name] = kind
        return found

    def _face(self, name: str, face: str) -> pa.DataType | None:
        if face == "decimal":
            before, behind = self._digits[name]
            return pa.decimal128(max(before + behind, 1), behind) if before + behind <= MOST_DIGITS else None
        return FACES.get(face)

    def _converted(self, name: str, value: Any, kind: type) -> JsonValue:
        if kind is Decimal:
            return self._decimal(name, value)
        self._faces[name].add(_face_of(value, kind))
        try:
            return convert(value)
        except ValueError as error:
            self._problems.add(
                f"a value cannot be used: {error}",
                key=name,
                rule="rows hold what JSON can say",
                remedy="leave such rows out, or write the column as text: CAST(column AS text)",
            )
        except TypeError:
            raise self._problems.fatal(
                f"the column holds values of type {kind.__name__}",
                key=name,
                rule="rows hold what JSON can say",
                remedy=REMEDIES.get(kind, "write it as text: CAST(column AS text)"),
            ) from None
        return None

    def _decimal(self, name: str, value: Decimal) -> JsonValue:
        self._faces[name].add("decimal")
        if not value.is_finite():
            return self._not_finite(name, value)
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        before, behind = self._digits.get(name, (0, 0))
        self._digits[name] = max(before, len(digits) + exponent), max(behind, -exponent)
        return format(value, "f")

    def _not_finite(self, name: str, value: Decimal) -> JsonValue:
        if not value.is_nan():
            rule, remedy = "rows hold finite numbers", "leave such rows out, or write the column as text"
            self._problems.add("a value is infinite", key=name, rule=rule, remedy=remedy)
        return None


def convert(value: Any) -> JsonValue:
    """`value` as JSON has it. Raises ValueError for a value that it lacks, TypeError for a type."""
    if value is None or type(value) in PLAIN:
        return value  # type: ignore[no-any-return]
    found = CONVERTERS.get(type(value))
    if found is None:
        raise TypeError(type(value).__name__)
    return found(value)


def _number(value: float) -> JsonValue:
    if math.isinf(value):
        raise ValueError("an infinite number; JSON has none")
    return None if math.isnan(value) else value


def _digits(value: Decimal) -> JsonValue:
    if value.is_infinite():
        raise ValueError("an infinite number; JSON has none")
    return None if value.is_nan() else format(value, "f")


def _moment(value: datetime) -> JsonValue:
    return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()


def _face_of(value: Any, kind: type) -> str:
    zone = getattr(value, "tzinfo", None)
    return f"{kind.__name__}{' with a zone' if zone is not None else ''}"


PLAIN = frozenset({bool, int, str})
CONVERTERS: Mapping[type, Callable[[Any], JsonValue]] = {
    float: _number,
    Decimal: _digits,
    datetime: _moment,
    date: date.isoformat,
    time: time.isoformat,
    UUID: str,
    list: lambda values: [convert(value) for value in values],
    tuple: lambda values: [convert(value) for value in values],
    dict: lambda members: {str(name): convert(value) for name, value in members.items()},
    **dict.fromkeys((IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network), str),
}
FACES: Mapping[str, pa.DataType] = {
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "datetime with a zone": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
}
