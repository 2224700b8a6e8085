"""Parts of documents: values that know where they were written, put together without changing what they came from.

Invariant: nothing here changes a value or lines in place; what is not touched is shared. A mapping merges key by key,
anything else is replaced, and null takes a key away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.text import NO_CHILDREN, KeyPath, Lines, Source

NOWHERE = 0  # the line of what stands in no text


@dataclass(frozen=True, slots=True)
class Part:
    """A value and the lines of what it is made of."""

    value: JsonValue
    lines: Lines

    def get(self, key: str | int) -> Part | None:
        """What stands under a key or at an index; None where nothing does."""
        value = self.value
        if isinstance(value, dict) and isinstance(key, str) and key in value:
            return Part(value[key], self._lines_of(key))
        if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            return Part(value[key], self._lines_of(key))
        return None

    def at(self, path: KeyPath) -> Part | None:
        """What stands at a key path below; None where nothing does."""
        here: Part | None = self
        for key in path:
            here = None if here is None else here.get(key)
        return here

    def entries(self) -> Iterator[tuple[str, Part]]:
        """The members of a mapping; none of anything else."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, Part(value, self._lines_of(key))

    def members(self) -> Iterator[tuple[str | int, Part]]:
        """The members of a mapping, or the items of a list by their index."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield index, Part(value, self._lines_of(index))
        yield from self.entries()

    def put(self, path: KeyPath, part: Part) -> Part:
        """The same with `part` at `path`; mappings that are missing on the way are made."""
        if not path:
            return part
        here = self.get(path[0]) or Part({}, Lines(part.lines.line, NO_CHILDREN, part.lines.origin))
        return self.replaced({path[0]: here.put(path[1:], part)})

    def replaced(self, parts: Mapping[str | int, Part]) -> Part:
        """A mapping or a list with these members in the place of its own; those that a mapping has not are added."""
        lines = replace(
            self.lines, children={**self.lines.children, **{key: part.lines for key, part in parts.items()}}
        )
        if isinstance(self.value, list):
            return Part([parts[at].value if at in parts else item for at, item in enumerate(self.value)], lines)
        members = self.value if isinstance(self.value, dict) else {}
        return Part({**members, **{str(key): part.value for key, part in parts.items()}}, lines)

    def holding(self, value: JsonValue) -> Part:
        """Another value that stands where this one does."""
        return Part(value, self.lines)

    def without(self, *keys: str) -> Part:
        """A mapping without these keys."""
        if not isinstance(self.value, dict) or not any(key in self.value for key in keys):
            return self
        value = {key: item for key, item in self.value.items() if key not in keys}
        children = {key: lines for key, lines in self.lines.children.items() if key not in keys}
        return Part(value, replace(self.lines, children=children))

    def merged(self, over: Part) -> Part:
        """This mapping with what `over` says: mappings key by key, anything else replaced, null taken away."""
        if not (isinstance(self.value, dict) and isinstance(over.value, dict)):
            return over
        merged = self
        for key, part in over.entries():
            below = merged.get(key)
            if part.value is None:
                merged = merged.without(key)
            else:
                merged = merged.replaced({key: part if below is None else below.merged(part)})
        return merged

    def from_(self, origin: Origin) -> Part:
        """The same, written at `origin`."""
        return Part(self.value, replace(self.lines, origin=origin))

    def _lines_of(self, key: str | int) -> Lines:
        """The member's lines, which say their origin where the lines above said it for them."""
        lines = self.lines.children.get(key) or Lines(self.lines.line, NO_CHILDREN)
        above = self.lines.origin
        if lines.origin is not None or above is None:
            return lines
        return replace(lines, origin=replace(above, path=(*above.path, key)))


def part_of(source: Source) -> Part:
    """The whole of a document."""
    return Part(source.value, source.lines)


def said(value: JsonValue, origin: Origin) -> Part:
    """A value that stands in no text."""
    return Part(value, Lines(NOWHERE, NO_CHILDREN, origin))
