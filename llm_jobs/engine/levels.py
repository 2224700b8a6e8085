"""A group that is too large for one question, asked in levels: parts that fit, then their answers, until one is left.

Invariants: the parts of a group depend on its rows in their order and on the limit alone, and each is as long as fits,
so that rows which are added later change the last part and nothing before it; every part is a call of its own, found
in the ledger as any other; each level has fewer parts than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.engine.calls import Settled
from llm_jobs.engine.graph import GraphRow, GraphStream
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import RowError

ROWS = "rows"  # what a template calls the rows of its group
BYTES_PER_TOKEN = 3  # of JSON: English has four and more, Chinese some three; it may not change, for parts hang on it
SMALLEST_WINDOW = 2_000  # tokens that any model reads: below, nobody looks up how many

Rows = list[JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """How one step asks about the rows of a group. `combine` asks about the answers of a level; `most_tokens` finds how
    many tokens a question may have, None where nothing is known of it; `is_stated`: the document says so."""

    step: PreparedStep
    combine: PreparedStep
    most_tokens: Callable[[], int | None]
    is_stated: bool

    def parts(self, values: Mapping[str, JsonValue], rows: Rows, *, level: int) -> list[Rows]:
        """The rows of a level, part by part. Raises RowError for one that does not fit alone."""
        step = self.step if level == 1 else self.combine

        def fits(part: Rows) -> bool:
            try:
                tokens = _tokens(step, {**values, ROWS: part})
            except RowError:
                if len(part) < 2 or self.most_tokens() is None:
                    raise
                return False  # longer than any prompt may be
            return self._is_short(tokens)

        if fits(rows):
            return [rows]
        if len(rows) > 1:
            return _parts(rows, fits, self._too_long)
        raise self._too_long(0)

    def _is_short(self, tokens: int) -> bool:
        if tokens <= SMALLEST_WINDOW and not self.is_stated:
            return True
        most = self.most_tokens()
        return most is None or tokens <= most

    def _too_long(self, place: int) -> RowError:
        return RowError(
            f"row {place + 1} of the group is too long to be asked about: with the prompt it has more than "
            f"{self.most_tokens()} tokens; shorten it in a step before, or raise max_input_tokens"
        )

    def columns(self, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The step's answer among the values of a row."""
        names = [each.name for each in self.step.outputs.fields]
        return {name: values[name] for name in names if name in values}


def _tokens(step: PreparedStep, values: Mapping[str, JsonValue]) -> int:
    return math.ceil(step.first.request(step.render(values)).size() / BYTES_PER_TOKEN)


def _parts(rows: Rows, fits: Callable[[Rows], bool], too_long: Callable[[int], RowError]) -> list[Rows]:
    """Each part as long as fits. A longer part of the same rows is taken to be a longer question."""
    parts: list[Rows] = []
    at, guess = 0, 1
    while at < len(rows):
        guess = _longest(rows, at, guess, fits)
        if not guess:
            raise too_long(at)
        parts.append(rows[at : at + guess])
        at += guess
    return parts


def _longest(rows: Rows, at: int, guess: int, fits: Callable[[Rows], bool]) -> int:
    """How many rows from `at` on fit together; `guess` only saves trying."""
    most = len(rows) - at
    fitting, trial = 0, min(guess, most)
    while fitting < most:
        if not fits(rows[at : at + trial]):
            most = trial - 1
            break
        fitting, trial = trial, min(2 * trial, most)
    while fitting < most:
        trial = (fitting + most + 1) // 2
        fitting, most = (trial, most) if fits(rows[at : at + trial]) else (fitting, trial - 1)
    return fitting


@dataclass(kw_only=True, slots=True, eq=False)
class _Round:
    """One level of one group under way."""

    row: GraphRow
    index: int  # of the step
    levels: Levels
    level: int
    parts: list[_Part] = field(default_factory=list)
    open: int = 0


@dataclass(kw_only=True, slots=True, eq=False)
class _Part(GraphRow):
    """A part of a group, which is asked about as a row is."""

    round: _Round
    last: Settled | None = None
    failure: tuple[str, str | None] | None = None


class LevelStream(GraphStream):
    """Drives the rows of one table, those that are groups in levels where they are too large."""

    def __init__(self, *, levels: Mapping[str, Levels], **options: Any) -> None:
        """`levels`: by step that asks about the rows of groups."""
        super().__init__(**options)
        self._levels = {index: levels[node.name] for index, node in enumerate(self._nodes) if node.name in levels}
        self._combining = {index: len(self._nodes) + place for place, index in enumerate(self._levels)}
        self._steps = [*self._steps, *(each.combine for each in self._levels.values())]

    def _ask(self, row: OpenRow, index: int) -> None:
        levels = None if self._lane.closed or isinstance(row, _Part) else self._levels.get(index)
        rows = row.values.get(ROWS)
        if levels is None or not isinstance(rows, list):
            super()._ask(row, index)
            return
        assert isinstance(row, GraphRow)
        self._begin_level(row, index, levels, rows, level=1)

    def _begin_level(self, row: GraphRow, index: int, levels: Levels, rows: Rows, *, level: int) -> None:
        try:
            parts = levels.parts(row.values, rows, level=level)
            if level > 1 and len(parts) == len(rows) > 1:
                raise RowError("the answers about parts of the group are too long to be put together two by two")
        except RowError as error:
            self._refuse(row, index, error)
            return
        if level == 1 and len(parts) == 1:
            super()._ask(row, index)
            return
        asked = _Round(row=row, index=index, levels=levels, level=level, open=len(parts))
        asked.parts = [_Part(values={**row.values, ROWS: part}, sample=row.sample, round=asked) for part in parts]
        for part in asked.parts:
            super()._ask(part, index if level == 1 else self._combining[index])

    def _part_ended(self, asked: _Round) -> None:
        asked.open -= 1
        if asked.open:
            return
        row, index, levels = asked.row, asked.index, asked.levels
        if len(asked.parts) == 1:
            row.values.update(levels.columns(asked.parts[0].values))
        failed = next((place for place, part in enumerate(asked.parts) if part.failure is not None), None)
        if failed is not None:
            self._level_failed(asked, failed)
        elif len(asked.parts) == 1:
            self._went(row, index)
        else:
            answers: Sequence[JsonValue] = [levels.columns(part.values) for part in asked.parts]
            self._begin_level(row, index, levels, list(answers), level=asked.level + 1)

    def _level_failed(self, asked: _Round, place: int) -> None:
        part = asked.parts[place]
        assert part.failure is not None
        if part.last is not None and super()._stands_in(asked.row, asked.index, part.last):
            self._went(asked.row, asked.index)
            return
        status, error = part.failure
        where = f"part {place + 1} of {len(asked.parts)} at level {asked.level}"
        self._stop(asked.row, asked.index, status, f"{where}: {error}")

    # What is told of a part is its group's.

    def _note_model(self, row: OpenRow, index: int, model: str, reason: str | None) -> None:
        if isinstance(row, _Part):
            asked = row.round
            row, index = asked.row, asked.index
        super()._note_model(row, index, model, reason)

    def _keep(self, row: OpenRow, index: int, settled: Settled) -> None:
        if isinstance(row, _Part):
            row.settled.append(settled)
            row.last = settled
            asked = row.round
            row, index = asked.row, asked.index
        super()._keep(row, index, settled)

    def _stands_in(self, row: OpenRow, index: int, settled: Settled) -> bool:
        return not isinstance(row, _Part) and super()._stands_in(row, index, settled)

    def _went(self, row: OpenRow, index: int) -> None:
        if isinstance(row, _Part):
            self._part_ended(row.round)
        else:
            super()._went(row, index)

    def _stop(self, row: OpenRow, index: int, status: str, error: str | None) -> None:
        if isinstance(row, _Part):
            row.failure = (status, error)
            self._part_ended(row.round)
        else:
            super()._stop(row, index, status, error)


def stream_of(levels: Mapping[str, Levels], **options: Any) -> GraphStream:
    """What drives a table: without levels, nothing asks after them at every row."""
    return LevelStream(levels=levels, **options) if levels else GraphStream(**options)
