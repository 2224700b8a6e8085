"""The types of a table, inferred from every value of it and never from a sample.

null and a type is that type; integers and numbers are float64 where every integer is exact in it; text and anything
else in one column is refused. What Arrow cannot hold without a change (an integer that would become 1.0, objects whose
members differ, lists of several types) is stored as its JSON text and read back as it was: only its face, the type
that the result shows, is simpler.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from llm_jobs.documents.job import JsonValue
from llm_jobs.sources.problems import Problems

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

    __slots__ = ("count", "inexact", "items", "kinds", "members")

    def __init__(self) -> None:
        self.kinds: dict[type, int] = {}
        self.inexact: tuple[int, int] | None = None  # line and value of an integer that float64 does not hold
        self.items: Shape | None = None
        self.members: dict[str, Shape] = {}
        self.count = 0  # of objects

    def see(self, value: JsonValue, line: int) -> None:
        """Take one value into account."""
        kind = type(value)
        if kind not in self.kinds:
            self.kinds[kind] = line
        if kind is str or value is None or kind is float:
            return
        if kind is int:
            self._see_integer(value, line)  # type: ignore[arg-type]
        elif kind is list:
            items = self.items = self.items or Shape()
            for item in value:  # type: ignore[union-attr]
                items.see(item, line)
        elif kind is dict:
            self._see_object(value, line)  # type: ignore[arg-type]

    def _see_integer(self, value: int, line: int) -> None:
        if -ALWAYS_EXACT <= value <= ALWAYS_EXACT or self.inexact is not None:
            return
        if abs(value) > LARGEST_INT64 or int(float(value)) != value:
            self.inexact = (line, value)

    def _see_object(self, value: dict[str, JsonValue], line: int) -> None:
        self.count += 1
        for name, member in value.items():
            if name not in self.members:
                self.members[name] = Shape()
            self.members[name].see(member, line)

    @property
    def plain_kinds(self) -> set[type]:
        """The kinds seen, null left out."""
        return self.kinds.keys() - {type(None)}

    def exact_type(self) -> pa.DataType | None:
        """The Arrow type that gives every value back as it was; None where there is none."""
        kinds = self.plain_kinds
        if len(kinds) > 1:
            return None
        if not kinds:
            return pa.null()
        kind = next(iter(kinds))
        if kind is list:
            item = self.items.exact_type() if self.items is not None else pa.null()
            return None if item is None else pa.list_(item)
        if kind is dict:
            return self._struct()
        if kind is int and self.inexact is not None and abs(self.inexact[1]) > LARGEST_INT64:
            return None
        return {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}[kind]

    def _struct(self) -> pa.DataType | None:
        """A struct, where all objects have the same members."""
        fields = []
        for name, member in self.members.items():
            exact = member.exact_type()
            if exact is None or sum(1 for _ in member.kinds) == 0 or member.seen < self.count:
                return None
            fields.append(pa.field(name, exact))
        return pa.struct(fields) if fields else None
