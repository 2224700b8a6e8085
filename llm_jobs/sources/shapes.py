"""The types of a table, inferred from every value of it and never from a sample.

null and a type is that type; integers and numbers are float64 where every integer is exact in it; text and anything
else in one column is refused. What Arrow cannot hold without a change (an integer that would become 1.0, objects whose
members differ, lists of several types) is stored as its JSON text and read back as it was: only its face, the type
that the result shows, is simpler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.types import ARROW_TYPES, DeclaredTypes

SCALARS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
LARGEST_INT64 = 2**63 - 1
ALWAYS_EXACT = 2**53
NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "text", list: "a list", dict: "an object"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """How a column is stored and shown. `as_json`: stored as JSON text."""

    name: str
    type: pa.DataType
    as_json: bool = False


class Shape:
    """What has been seen at one place of a row: each kind of value with the line that showed it first."""

    __slots__ = ("beyond", "inexact", "is_ordered", "items", "kinds", "members", "objects", "seen")

    def __init__(self) -> None:
        self.kinds: dict[type, int] = {}
        self.inexact: tuple[int, int] | None = None  # line and value of an integer that float64 does not hold
        self.beyond: tuple[int, int] | None = None  # line and value of an integer that int64 does not hold
        self.items: Shape | None = None
        self.members: dict[str, Shape] = {}
        self.objects = 0
        self.is_ordered = True  # all objects have their members in one order
        self.seen = 0

    def see(self, value: JsonValue, line: int) -> None:
        """Take one value into account."""
        self.seen += 1
        kind = type(value)
        if kind not in self.kinds:
            self.kinds[kind] = line
        if kind is int:
            self._see_integer(value, line)  # type: ignore[arg-type]
        elif kind is list:
            items = self.items = self.items or Shape()
            for item in value:  # type: ignore[union-attr]
                items.see(item, line)
        elif kind is dict:
            self._see_object(value, line)  # type: ignore[arg-type]

    def _see_integer(self, value: int, line: int) -> None:
        if -ALWAYS_EXACT <= value <= ALWAYS_EXACT:
            return
        is_beyond = not -LARGEST_INT64 - 1 <= value <= LARGEST_INT64
        if self.inexact is None and (is_beyond or int(float(value)) != value):
            self.inexact = (line, value)
        if self.beyond is None and is_beyond:
            self.beyond = (line, value)

    def _see_object(self, value: dict[str, JsonValue], line: int) -> None:
        self.objects += 1
        if self.is_ordered and self.objects > 1:
            self.is_ordered = list(value) == list(self.members)
        for name, member in value.items():
            if name not in self.members:
                self.members[name] = Shape()
            self.members[name].see(member, line)

    @property
    def plain_kinds(self) -> set[type]:
        """The kinds seen, null left out."""
        return self.kinds.keys() - {type(None)}

    @property
    def is_mixed_number(self) -> bool:
        return self.plain_kinds == {int, float}

    def arrow_type(self, *, exact: bool) -> pa.DataType | None:
        """The Arrow type of the values; None where none holds them. `exact`: gives each value back as it was."""
        kinds = self.plain_kinds
        if self.is_mixed_number:
            return None if exact or self.inexact is not None else pa.float64()
        if len(kinds) > 1 or (kinds == {int} and self.beyond is not None):
            return None
        if not kinds:
            return pa.null()
        kind = next(iter(kinds))
        if kind is list:
            item = self.items.arrow_type(exact=exact) if self.items is not None else pa.null()
            return None if item is None else pa.list_(item)
        return self._struct(exact=exact) if kind is dict else SCALARS[kind]

    def _struct(self, *, exact: bool) -> pa.DataType | None:
        """A struct, where all objects have the same members; otherwise a missing member would come back as null."""
        if exact and not self.is_ordered:
            return None
        fields = []
        for name, member in self.members.items():
            kind = member.arrow_type(exact=exact) if member.seen == self.objects else None
            if kind is None:
                return None
            fields.append(pa.field(name, kind))
        return pa.struct(fields) if fields else None


class TableShape:
    """The columns of a table, row by row, in the order in which their names first appear."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names`: columns that are known without a row."""
        self._columns: dict[str, Shape] = {name: Shape() for name in names}
        self.rows = 0

    def see(self, row: Mapping[str, JsonValue], line: int) -> None:
        """Take one row into account."""
        self.rows += 1
        columns = self._columns
        for name, value in row.items():
            if name not in columns:
                columns[name] = Shape()
            columns[name].see(value, line)

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def columns(self, problems: Problems, *, types: Mapping[str, str]) -> list[Column]:
        """The columns with their types; `types` are the declared ones, to which the rows have been converted.

        Raises DocumentError naming both lines where two types meet in one column.
        """
        DeclaredTypes(types, problems).check_columns(self._columns)
        found = [self._column(name, shape, problems) for name, shape in self._columns.items()]
        if not found:
            problems.add("the table has no columns", rule="a row has at least one member", remedy="name the values")
        problems.refuse()
        return [
            replace(column, type=ARROW_TYPES[types[column.name]]) if column.name in types else column
            for column in found
        ]

    def _column(self, name: str, shape: Shape, problems: Problems) -> Column:
        if len(shape.plain_kinds) > 1 and not shape.is_mixed_number:
            _note_two_types(name, shape, problems)
        elif shape.inexact is not None and shape.arrow_type(exact=False) is None:
            line, value = shape.beyond or shape.inexact
            problems.add(
                "the integer is not exact in the column's type",
                line=line,
                key=name,
                value=value,
                rule="integers have 64 bits; beside numbers with a fraction they lie within ±2^53 or are exact there",
                remedy=f"declare `types: {{{name}: text}}`",
            )
        exact = shape.arrow_type(exact=True)
        return Column(name=name, type=shape.arrow_type(exact=False) or pa.string(), as_json=exact is None)


def _note_two_types(name: str, shape: Shape, problems: Problems) -> None:
    (first, first_line), (second, second_line) = sorted(
        ((kind, line) for kind, line in shape.kinds.items() if kind is not type(None)), key=lambda pair: pair[1]
    )[:2]
    problems.add(
        f"the column holds {NAMES[first]} ({problems.place(first_line)}) and {NAMES[second]} "
        f"({problems.place(second_line)})",
        line=second_line,
        key=name,
        rule="a column has one type",
        remedy=f"write one type, or declare `types: {{{name}: text}}`",
    )
